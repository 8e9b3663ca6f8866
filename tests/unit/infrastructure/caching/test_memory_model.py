"""The memory level does what a plain dict does, and makes room as a slow and plain account says."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from loomwire.domain.caching.policies import EvictionRule, MemoryLevel
from loomwire.domain.ports.cache import ICacheStrategy
from loomwire.infrastructure.caching.memory import MemoryCache
from support.cache_model import CacheMachine


class Roomy(CacheMachine):
    strategy: ClassVar[EvictionRule] = "lru"

    @override
    def build(self) -> ICacheStrategy:
        return MemoryCache(MemoryLevel(10**6, self.strategy), now=self.clock.now)


class RoomyLFU(Roomy):
    strategy: ClassVar[EvictionRule] = "lfu"


class RoomyTTL(Roomy):
    strategy: ClassVar[EvictionRule] = "ttl"


TestRoomyLRU = Roomy.TestCase
TestRoomyLFU = RoomyLFU.TestCase
TestRoomyTTL = RoomyTTL.TestCase
