"""Purges: tells whoever asked before a purge that what comes back may not be kept any more."""

from __future__ import annotations

import threading
from typing import Final

from loomwire.application.forks import renew_after_fork

_MOST: Final = 1024


class Purges:
    """How often what is kept was purged. Safe for threads and event loops; the lock is held for less than 1 us.

    Whoever fetches something takes `count` before it asks. When the count is another one afterwards, what came is older
    than a purge: it is handed out, and not kept.
    """

    __slots__ = ("__weakref__", "_all", "_lock", "_spaces")

    def __init__(self) -> None:
        """Know of none."""
        self._all = 0
        self._spaces: dict[str, int] = {}
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Take a lock of its own in a child."""
        self._lock = threading.Lock()

    def note(self, namespace: str | None) -> None:
        """Note that a namespace, or (None) everything, is purged; called before anything is deleted."""
        with self._lock:
            if namespace is not None and len(self._spaces) < _MOST:
                self._spaces[namespace] = self._spaces.get(namespace, 0) + 1
                return
            # Too many names to remember are as good as everything. No count may ever come back.
            self._all += 1 + max(self._spaces.values(), default=0)
            self._spaces = {}

    def count(self, namespace: str) -> int:
        """Return a number that is another one after every purge of this namespace, and never comes back."""
        with self._lock:
            return self._all + self._spaces.get(namespace, 0)
