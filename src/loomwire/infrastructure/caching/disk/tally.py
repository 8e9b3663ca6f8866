"""DiskTally: what the disk level did since the process started."""

from __future__ import annotations

import threading
from typing import Literal, TypeAlias, final

from loomwire.domain.caching.entries import CacheStatistics
from loomwire.infrastructure.caching.disk.table import LEVEL, Totals

DiskCount: TypeAlias = Literal["hits", "misses", "stale", "writes", "evictions", "expired", "refused", "errors"]


@final
class DiskTally:
    """Counts of one level. Safe for several threads; the lock is held for about a microsecond.

    Args:
        limit_bytes: What entries may take.

    Attributes:
        limit_bytes: The same; may be changed at any time.
        totals: What the file holds, by the last look at it; None before the first.
    """

    __slots__ = ("_counts", "_lock", "limit_bytes", "totals")

    def __init__(self, limit_bytes: int) -> None:
        """Start at nothing."""
        self.limit_bytes = limit_bytes
        self.totals: Totals | None = None
        self._counts: dict[DiskCount, int] = {}
        self.after_fork()

    def after_fork(self) -> None:
        """Take a lock of its own in a child."""
        self._lock = threading.Lock()

    def add(self, what: DiskCount, number: int = 1) -> None:
        """Count."""
        if number:
            with self._lock:
                self._counts[what] = self._counts.get(what, 0) + number

    @property
    def failures(self) -> int:
        """How many looks and writes failed so far."""
        return self._counts.get("errors", 0)

    def statistics(self, wall: float, resting_s: float) -> CacheStatistics:
        """Return all of it."""
        totals = self.totals
        oldest = None if totals is None else totals.oldest_ms
        with self._lock:
            counts = self._counts.copy()
        return CacheStatistics(
            level=LEVEL,
            hits=counts.get("hits", 0),
            misses=counts.get("misses", 0),
            stale=counts.get("stale", 0),
            writes=counts.get("writes", 0),
            evictions=counts.get("evictions", 0),
            expired=counts.get("expired", 0),
            refused=counts.get("refused", 0),
            errors=counts.get("errors", 0),
            entries=None if totals is None else totals.entries,
            size_bytes=None if totals is None else totals.size_bytes,
            limit_bytes=self.limit_bytes,
            oldest_s=None if oldest is None else max(0.0, wall - oldest / 1000),
            resting_s=resting_s,
        )
