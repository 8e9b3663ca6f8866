"""A folder of YAML files as a source of configurations."""

from __future__ import annotations

import gc
import hashlib
import os
import threading
import weakref
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import final

from typing_extensions import override

from loomwire.domain.config import Snapshot
from loomwire.domain.ports.config import ConfigReading, IConfigSource
from loomwire.domain.reports.problems import Problem
from loomwire.infrastructure.configuration.files import absolute
from loomwire.infrastructure.configuration.loader import ConfigLoader
from loomwire.infrastructure.configuration.reading.memory import Memory


@final
class FolderSource(IConfigSource):
    """Reads a folder, or one file, again and again; what is the same as last time is not parsed again.

    Safe for several threads, which read one after the other. Blocks on files: never on an event loop.

    Args:
        loader: Reads it.
        root: The folder or file; a relative one as seen from the working directory of now, though a daemon leaves it.
    """

    def __init__(self, loader: ConfigLoader, root: Path) -> None:
        """Read nothing yet."""
        self._loader = loader
        self._root = root
        self._place = absolute(root)
        self._watched: tuple[str, ...] = (self._place,)
        self.leave_parent()
        _sources.add(self)

    def leave_parent(self) -> None:
        """Begin anew; called in a forked child, because a thread of the parent may have been reading."""
        self._lock = threading.Lock()
        self._memory = Memory()

    @property
    def root(self) -> Path:
        """What is read, as it was named; by its whole path once that name leads elsewhere."""
        with suppress(OSError):  # the working directory was removed
            if absolute(self._root) == self._place:
                return self._root
        return Path(self._place)

    @property
    def watched(self) -> tuple[str, ...]:
        """Absolute paths of every file that the last reading came from, whether it exists or not."""
        return self._watched

    @override
    def read(self, before: Snapshot | None) -> ConfigReading:
        with self._lock, _COLLECTOR.paused():
            try:
                reading = self._loader.read(self.root, self._memory, before)
            except Exception as error:  # noqa: BLE001  # whatever a file does to us, what is in force stays
                self._memory = Memory()
                return self._unreadable(type(error).__name__)
            self._watched = reading.watched
        return reading

    def _unreadable(self, why: str) -> ConfigReading:
        problem = Problem("rejected", f"the configuration cannot be read ({why})", file=str(self._root))
        digest = hashlib.blake2b(why.encode(), digest_size=16).hexdigest()
        return ConfigReading(digest, None, (problem,), self._watched)


class _Collector:
    """Keeps the cycle collector from running: a large file makes 100,000 objects, none of them in a cycle.

    It would walk through all the process holds, several times; measured with 1,000 clients, a reading takes twice as
    long with it, and every event loop of the process stands still meanwhile.
    """

    def __init__(self) -> None:
        self._is_ours = False

    @contextmanager
    def paused(self) -> Generator[None]:
        """Pause it for the block, unless the host has it off or another reading paused it."""
        paused = gc.isenabled()
        if paused:
            self._is_ours = True
            gc.disable()
        try:
            yield
        finally:
            if paused:
                self.resume()

    def resume(self) -> None:
        """Turn it on again if we turned it off; also called in a forked child, where nobody else would."""
        if self._is_ours:
            self._is_ours = False
            gc.enable()


_COLLECTOR = _Collector()
_sources: weakref.WeakSet[FolderSource] = weakref.WeakSet()


def _after_fork() -> None:
    _COLLECTOR.resume()
    for source in tuple(_sources):
        source.leave_parent()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_after_fork)
