"""Who is told of changes of the level, and how they read in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from loomwire.application.memory.levels import ORDER, Pressure
from loomwire.application.memory.report import LevelChange

_DONE: Final[Mapping[Pressure, str]] = {
    "normal": "caches have their size",
    "soft": "caches are half",
    "high": "caches are off, calls of priority cost are refused",
    "critical": "caches are off, new calls are refused",
}
_GUESSED: Final = "caches are off; the machine has little left, which is the limit until memory.limit says another"
_MIB: Final = 1024 * 1024
_log: Final = logging.getLogger("loomwire.memory")


class ChangeListeners:
    """Functions that are told of changes. Safe for threads."""

    def __init__(self) -> None:
        """Know nobody."""
        self._known: dict[object, Callable[[LevelChange], object]] = {}

    def add(self, listener: Callable[[LevelChange], object]) -> Callable[[], None]:
        """Add a listener and return what removes it; twice added is twice called."""
        ear = object()
        self._known[ear] = listener

        def remove() -> None:
            """Tell the listener nothing more."""
            self._known.pop(ear, None)

        return remove

    def tell(self, change: LevelChange) -> None:
        """Call every listener; what one raises is logged by its type."""
        for listener in tuple(self._known.values()):
            try:
                listener(change)
            except Exception as error:  # noqa: BLE001  # a listener's own business
                _log.error("a listener for changes of memory failed: %s", type(error).__name__)  # no trace


def line_of(change: LevelChange) -> tuple[int, str]:
    """Return with which level of logging, and in which words, a change is logged."""
    rises = ORDER.index(change.new) > ORDER.index(change.old)
    has_guess = change.source == "machine" and change.new == "high"
    done = _GUESSED if has_guess else _DONE[change.new]
    sizes = f"{change.rss_bytes / _MIB:.0f} of {change.limit_bytes / _MIB:.0f} MiB ({change.source})"
    return logging.WARNING if rises else logging.INFO, f"memory is {change.new}: {sizes}; {done}"
