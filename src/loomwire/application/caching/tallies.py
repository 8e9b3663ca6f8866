"""CacheTally: what the caches of one client did, over all levels."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from loomwire.domain.values import JSON

Noted: TypeAlias = Literal["hits", "stale", "similar", "would_be", "misses", "shared", "bypassed", "kept", "refused"]


@dataclass(frozen=True, slots=True)
class CacheCounts:
    """What was counted since the process started.

    Attributes:
        hits: Calls that were answered by what was kept for the very request, fresh.
        stale: Calls that were answered by something old: behind a refresh, or because no target answered.
        similar: Calls that were answered by what was kept for a question that means the same.
        would_be: Calls that a semantic cache in shadow mode would have answered.
        misses: Calls that had to be sent.
        shared: Calls that waited for an equal one, and got its answer.
        bypassed: Calls that the policy, or their request, does not keep.
        kept: Answers that were kept.
        refused: Answers that may not be kept.
    """

    hits: int = 0
    stale: int = 0
    similar: int = 0
    would_be: int = 0
    misses: int = 0
    shared: int = 0
    bypassed: int = 0
    kept: int = 0
    refused: int = 0

    @property
    def hit_rate(self) -> float | None:
        """Calls that were not sent, of all that could have been kept; None before the first."""
        saved = self.hits + self.stale + self.similar + self.shared
        calls = saved + self.misses
        return saved / calls if calls else None

    def to_dict(self) -> dict[str, JSON]:
        """Return the counts as JSON."""
        rate = self.hit_rate
        counts: dict[str, JSON] = {name: getattr(self, name) for name in self.__slots__}
        return {**counts, "hit_rate": None if rate is None else round(rate, 4)}


class CacheTally:
    """Counts for one client. Safe for several threads; the lock is held for about a microsecond."""

    __slots__ = ("_counts", "_lock")

    def __init__(self) -> None:
        """Start at nothing."""
        self._counts: dict[Noted, int] = {}
        self.after_fork()

    def after_fork(self) -> None:
        """Take a lock of its own in a child."""
        self._lock = threading.Lock()

    def note(self, what: Noted) -> None:
        """Count one."""
        with self._lock:
            self._counts[what] = self._counts.get(what, 0) + 1

    def counts(self) -> CacheCounts:
        """Return the totals so far."""
        with self._lock:
            return replace(CacheCounts(), **self._counts)
