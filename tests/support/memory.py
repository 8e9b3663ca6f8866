"""A process whose memory is what a test says, and caches that tell what they were allowed."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from typing_extensions import override

from loomwire.application.memory.thread import NAME
from loomwire.domain.caching.entries import CacheEntry, CacheKey, CacheStatistics, EntryFacts
from loomwire.domain.caching.policies import Level
from loomwire.domain.ports.caching.cache import ICacheStores, ICacheStrategy
from loomwire.domain.ports.memory import IMemoryHolder, IMemoryProbe, LimitSource, MemorySample

MIB = 1024 * 1024


def watchers() -> list[threading.Thread]:
    """Return the threads that look at the memory of this process."""
    return [thread for thread in threading.enumerate() if thread.name == NAME]


@dataclass
class StagedProbe(IMemoryProbe):
    """Finds what a test says.

    Attributes:
        rss: In MiB.
        limit: In MiB, when none is configured.
        source: Who says so then.
        broken: What a look raises.
        released: How often freed memory was to go back.
        gives: MiB that go back each time.
        looks: How often it was asked.
    """

    rss: int = 10
    limit: int = 100
    source: LimitSource = "cgroup"
    broken: Exception | None = None
    released: int = 0
    gives: int = 0
    looks: int = 0

    @override
    def sample(self, limit_bytes: int | None) -> MemorySample:
        self.looks += 1
        if self.broken is not None:
            raise self.broken
        configured: LimitSource = "configured"
        said = (self.limit * MIB, self.source) if limit_bytes is None else (limit_bytes, configured)
        return MemorySample(self.rss * MIB, *said)

    @override
    def release(self) -> None:
        self.released += 1
        self.rss -= self.gives


@dataclass
class StagedLevel(ICacheStrategy):
    """A level that holds so many MiB, and drops what it may not hold.

    Attributes:
        held: In MiB.
        size: In MiB, as it is configured.
        kind: What it calls itself.
        shares: What it was allowed, in order.
    """

    held: int = 0
    size: int = 64
    kind: str = "memory"
    shares: list[float] = field(default_factory=list)

    @override
    async def get(self, key: CacheKey) -> CacheEntry | None:
        return None

    @override
    async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
        return

    @override
    async def invalidate(self, key: CacheKey) -> bool:
        return False

    @override
    async def clear(self, namespace: str | None = None) -> None:
        return

    @property
    def limit(self) -> float:
        """What it may hold now, in MiB."""
        return self.size * (self.shares[-1] if self.shares else 1)

    @override
    def statistics(self) -> CacheStatistics:
        return CacheStatistics(level=self.kind, size_bytes=self.held * MIB, limit_bytes=round(self.limit * MIB))

    @override
    async def entries(self, namespace: str | None = None, limit: int = 20) -> Sequence[EntryFacts]:
        return ()

    @override
    def resize(self, share: float) -> None:
        self.shares.append(share)
        self.held = min(self.held, int(self.limit))


class StagedStores(ICacheStores):
    """Has these levels."""

    def __init__(self, *levels: StagedLevel) -> None:
        self.all = list(levels)

    @override
    def store(self, levels: tuple[Level, ...]) -> ICacheStrategy:
        return self.all[0]

    @override
    def retain(self, levels: Iterable[Level]) -> None:
        return

    @override
    def levels(self) -> Sequence[ICacheStrategy]:
        return self.all

    @override
    async def aclose(self) -> None:
        return


class Hoard(IMemoryHolder):
    """Holds so many bytes, and notes what it was allowed; raises when it is broken."""

    def __init__(self, held: int = 0) -> None:
        self.held = held
        self.broken = False
        self.shares: list[float] = []

    @property
    @override
    def name(self) -> str:
        return "hoard"

    @override
    def held_bytes(self) -> int:
        if self.broken:
            raise ValueError("secret")
        return self.held

    @override
    def allow(self, share: float) -> None:
        if self.broken:
            raise ValueError("secret")
        self.shares.append(share)
