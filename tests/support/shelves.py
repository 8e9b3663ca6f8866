"""Places that keep, for the tests of what keeps vectors, rankings and a host's values."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from typing_extensions import override

from loomwire.application.caching.states import CacheStates
from loomwire.domain.caching.entries import CacheEntry, CacheKey, CacheStatistics, EntryFacts
from loomwire.domain.caching.policies import Level
from loomwire.domain.ports.caching.cache import ICacheStores, ICacheStrategy
from loomwire.domain.ports.clock import IClock
from loomwire.infrastructure.vectors.table import SimilarityIndexes
from loomwire.testing import FakeClock


class DictStore(ICacheStrategy):
    """Keeps everything in a dict; looks and writes may have to wait.

    Attributes:
        kept: What is kept.
        looks: How often it was asked.
        most: How many looks and writes were under way at once.
        gate: What looks and writes wait for; None is nothing.
    """

    def __init__(self, clock: IClock | None = None, *, yields: bool = False) -> None:
        self.kept: dict[CacheKey, tuple[bytes, float, float]] = {}
        self.looks = self.most = self._now = 0
        self.gate: asyncio.Event | None = None
        self._clock = clock or FakeClock()
        self._yields = yields

    @override
    async def get(self, key: CacheKey) -> CacheEntry | None:
        self.looks += 1
        await self._waited()
        found = self.kept.get(key)
        if found is None:
            return None
        value, ttl_s, born = found
        return CacheEntry(value, self._clock.now() - born, ttl_s, "dict")

    @override
    async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
        await self._waited()
        self.kept[key] = (value, ttl_s, self._clock.now())

    @override
    async def invalidate(self, key: CacheKey) -> bool:
        return self.kept.pop(key, None) is not None

    @override
    async def clear(self, namespace: str | None = None) -> None:
        for key in [key for key in self.kept if namespace in (None, key.namespace)]:
            del self.kept[key]

    @override
    def statistics(self) -> CacheStatistics:
        return CacheStatistics(level="dict", entries=len(self.kept))

    @override
    async def entries(self, namespace: str | None = None, limit: int = 20) -> Sequence[EntryFacts]:
        return ()

    async def _waited(self) -> None:
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            if self.gate is not None:
                await self.gate.wait()
            elif self._yields:
                await asyncio.sleep(0)
        finally:
            self._now -= 1


class OneStore(ICacheStores):
    """Has one place for all who ask, whatever levels they name.

    Attributes:
        place: The place.
        asked: The levels that were named.
    """

    def __init__(self, place: ICacheStrategy | None = None) -> None:
        self.place: ICacheStrategy = place or DictStore()
        self.asked: list[tuple[Level, ...]] = []

    @override
    def store(self, levels: tuple[Level, ...]) -> ICacheStrategy:
        self.asked.append(levels)
        return self.place

    @override
    def retain(self, levels: Iterable[Level]) -> None:
        return

    @override
    def levels(self) -> Sequence[ICacheStrategy]:
        return (self.place,)

    @override
    async def aclose(self) -> None:
        return


def states_over(place: ICacheStrategy | None = None) -> CacheStates:
    """Return what caches know in a process that has one place."""
    return CacheStates(OneStore(place), SimilarityIndexes())
