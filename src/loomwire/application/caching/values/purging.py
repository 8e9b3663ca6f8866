"""UnderWay: values that are being fetched, so that what is purged meanwhile is not kept again by them."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

from loomwire.application.forks import renew_after_fork
from loomwire.domain.caching.entries import CacheKey


class Fetch:
    """A value that is being fetched, for all who wait for it.

    Attributes:
        is_void: What it brings is older than a purge, and may not be kept.
    """

    __slots__ = ("callers", "is_void")

    def __init__(self) -> None:
        """Begin with nobody."""
        self.callers = 0
        self.is_void = False


class UnderWay:
    """The fetches of this process by key. Safe for threads and event loops; the lock is held for microseconds."""

    __slots__ = ("__weakref__", "_fetches", "_lock")

    def __init__(self) -> None:
        """Know of none."""
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Forget in a child what the parent fetches."""
        self._fetches: dict[CacheKey, Fetch] = {}
        self._lock = threading.Lock()

    @contextmanager
    def caller(self, key: CacheKey) -> Generator[Fetch]:
        """Return the fetch of a key that no purge has made void, for as long as a caller waits."""
        with self._lock:
            fetch = self._fetches.setdefault(key, Fetch())
            fetch.callers += 1
        try:
            yield fetch
        finally:
            with self._lock:
                fetch.callers -= 1
                if not fetch.callers and self._fetches.get(key) is fetch:
                    del self._fetches[key]

    def purged(self, key: CacheKey) -> None:
        """Have what is being fetched for a key kept nowhere; whoever asks from now on begins anew."""
        with self._lock:
            fetch = self._fetches.pop(key, None)
            if fetch is not None:
                fetch.is_void = True
