"""The memory level does what a plain dict does, and makes room as a slow and plain account says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule
from typing_extensions import override

from loomwire.domain.caching.entries import CacheKey
from loomwire.domain.caching.policies import EvictionRule, MemoryLevel
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.infrastructure.caching.eviction.slots import OVERHEAD
from loomwire.infrastructure.caching.memory import MemoryCache
from loomwire.infrastructure.caching.tiered import TieredCache
from support.cache_model import NAMESPACES, VALUES, CacheMachine, a_key
from support.caches import SlowLevel

ROOMY = 10**6


class Roomy(CacheMachine):
    """Nothing has to make room."""

    strategy: ClassVar[EvictionRule] = "lru"

    @override
    def build(self) -> ICacheStrategy:
        return MemoryCache(MemoryLevel(ROOMY, self.strategy), now=self.clock.now)


class RoomyLFU(Roomy):
    strategy: ClassVar[EvictionRule] = "lfu"


class RoomyTTL(Roomy):
    strategy: ClassVar[EvictionRule] = "ttl"


@dataclass
class Place:
    """What the account knows of an entry; every instant is the number of a step."""

    used: int
    uses: int
    rose: int
    set: int


class Tight(Roomy):
    """There is room for four or five entries of one size, and the account says which of them are there."""

    def __init__(self) -> None:
        super().__init__()
        self.limit = 4 * (OVERHEAD[self.strategy] + 32 + 10 + len(max(NAMESPACES, key=len)))
        self.places: dict[CacheKey, Place] = {}
        self.number = 0

    @override
    def build(self) -> ICacheStrategy:
        return MemoryCache(MemoryLevel(self.limit, self.strategy), now=self.clock.now)

    def size(self, key: CacheKey) -> int:
        """Return what an entry takes."""
        return OVERHEAD[self.strategy] + len(key.namespace) + len(key.digest) + len(self.kept[key].value)

    def first(self, but: CacheKey) -> CacheKey:
        """Return who makes room first."""
        others = {key: place for key, place in self.places.items() if key in self.kept and key != but}
        if self.strategy == "lru":
            return min(others, key=lambda key: others[key].used)
        if self.strategy == "lfu":
            return min(others, key=lambda key: (others[key].uses, others[key].rose))
        return min(others, key=lambda key: (self.kept[key].born + self.kept[key].ttl_s, others[key].set))

    @rule(key=a_key, value=st.sampled_from((b"0123456789", b"9876543210")), ttl_s=st.integers(1, 5), keep_s=st.just(3))
    @override
    def set(self, key: CacheKey, value: bytes, ttl_s: int, keep_s: int) -> None:
        self.number += 1
        uses = self.places[key].uses if key in self.kept else 0
        super().set(key, value, ttl_s, keep_s)
        while sum(map(self.size, self.kept)) > self.limit:
            del self.kept[self.first(key)]
        self.places[key] = Place(self.number, uses + 1, self.number, self.number)

    @rule(key=a_key)
    @override
    def get(self, key: CacheKey) -> None:
        self.number += 1
        super().get(key)
        if key in self.kept:
            place = self.places[key]
            place.used = place.rose = self.number
            place.uses += 1

    @rule(moves=st.lists(st.tuples(a_key, st.integers(0, 5)), min_size=4, max_size=12))
    def play(self, moves: list[tuple[CacheKey, int]]) -> None:
        """Do what makes an order: set, or look when there is no lifetime."""
        for key, ttl_s in moves:
            if ttl_s:
                self.set(key, b"0123456789", ttl_s, 3)
            else:
                self.get(key)

    @rule(namespace=st.sampled_from(NAMESPACES))
    @override
    def clear_namespace(self, namespace: str) -> None:
        super().clear_namespace(namespace)
        # What was cleared takes room until it is swept.
        self.sweep()

    @rule(share=st.sampled_from((0.0, 0.5, 1.0)))
    def resize(self, share: float) -> None:
        """Shrink, and take the whole size again."""
        self.cache.resize(share)
        while sum(map(self.size, self.kept)) > int(self.limit * share):
            del self.kept[self.first(CacheKey("", b""))]
        self.cache.resize(1.0)


class TightLFU(Tight):
    strategy: ClassVar[EvictionRule] = "lfu"


class TightTTL(Tight):
    strategy: ClassVar[EvictionRule] = "ttl"


class Tiered(CacheMachine):
    """Memory that is too small for all, above a level that is not."""

    @override
    def build(self) -> ICacheStrategy:
        memory = MemoryCache(MemoryLevel(3 * (OVERHEAD["lru"] + 60)), now=self.clock.now)
        return TieredCache([memory, SlowLevel(ROOMY, self.clock.now)])


class Starved(CacheMachine):
    """Everything is evicted now and then, and large values never fit: what is there is right all the same."""

    certain: ClassVar[bool] = False

    @override
    def build(self) -> ICacheStrategy:
        levels = [MemoryCache(MemoryLevel(900, rule), now=self.clock.now) for rule in ("lru", "lfu", "ttl")]
        return TieredCache([levels[0], SlowLevel(1200, self.clock.now), levels[1], levels[2]])

    @rule(share=st.sampled_from((0.0, 0.5, 1.0)))
    def resize(self, share: float) -> None:
        self.cache.resize(share)


assert len(max(VALUES, key=len)) + OVERHEAD["lru"] > 900, "no value is too large for the smallest level"

TestRoomyLRU = Roomy.TestCase
TestRoomyLFU = RoomyLFU.TestCase
TestRoomyTTL = RoomyTTL.TestCase
TestTightLRU = Tight.TestCase
TestTightLFU = TightLFU.TestCase
TestTightTTL = TightTTL.TestCase
TestTiered = Tiered.TestCase
TestStarved = Starved.TestCase

DEPTH = settings(max_examples=settings().max_examples // 4, stateful_step_count=25)
TestRoomyLRU.settings = TestRoomyLFU.settings = TestRoomyTTL.settings = DEPTH
TestTightLRU.settings = TestTightLFU.settings = TestTightTTL.settings = DEPTH
TestTiered.settings = TestStarved.settings = DEPTH
