"""Telling the operator once when something goes wrong, and once when it is over."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, final

CALM_S: Final = 60.0
"""Seconds without a failure of one kind after which it is over."""

_LOGGER = logging.getLogger("loomwire.cache")


@final
class Troubles:
    """What is going wrong with one file; for one thread.

    Args:
        path: Of the file, as it is named in the log.
        now: Monotonic seconds.

    Attributes:
        latest: What went wrong last; empty when nothing ever did.
    """

    __slots__ = ("_active", "_now", "_path", "latest")

    def __init__(self, path: str, now: Callable[[], float]) -> None:
        """Begin calm."""
        self._path = path
        self._now = now
        self.latest = ""
        self._active: dict[str, float] = {}

    def note(self, what: str) -> None:
        """Say that something goes wrong, unless it was going wrong already.

        Args:
            what: A sentence about the file, one of a few: it holds no key, value or name.
        """
        if what not in self._active:
            _LOGGER.warning("cache file %s: %s", self._path, what)
        self.latest = what
        self._active[what] = self._now()

    def tell(self, what: str) -> None:
        """Say something that happens once and is no failure of ours."""
        _LOGGER.info("cache file %s: %s", self._path, what)

    def settle(self) -> None:
        """Say what is over."""
        now = self._now()
        for what, last in [*self._active.items()]:
            if now - last > CALM_S:
                del self._active[what]
                _LOGGER.info("cache file %s: over: %s", self._path, what)
