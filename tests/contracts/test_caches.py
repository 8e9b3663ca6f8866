"""Our caches keep the contract of ICacheStrategy."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import ClassVar

from typing_extensions import override

from loomwire.domain.caching.policies import EvictionRule, MemoryLevel
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.infrastructure.caching.memory import MemoryCache
from loomwire.infrastructure.caching.tiered import TieredCache
from loomwire.testing import FakeClock
from loomwire.testing.contracts.cache import CacheContract
from support.caches import SlowLevel


class TestLRU(CacheContract):
    strategy: ClassVar[EvictionRule] = "lru"

    def setup_method(self) -> None:
        self.clock = FakeClock(start=100.0)

    @override
    @asynccontextmanager
    async def cache(self, limit_bytes: int) -> AsyncGenerator[ICacheStrategy]:
        yield MemoryCache(MemoryLevel(limit_bytes, self.strategy), now=self.clock.now)

    @override
    async def let_pass(self, cache: ICacheStrategy, seconds: float) -> None:
        await self.clock.advance(seconds)


class TestLFU(TestLRU):
    strategy: ClassVar[EvictionRule] = "lfu"


class TestTTL(TestLRU):
    strategy: ClassVar[EvictionRule] = "ttl"


class TestTiered(TestLRU):
    @override
    @asynccontextmanager
    async def cache(self, limit_bytes: int) -> AsyncGenerator[ICacheStrategy]:
        part = limit_bytes // 4
        memory = MemoryCache(MemoryLevel(part, self.strategy), now=self.clock.now)
        yield TieredCache([memory, SlowLevel(limit_bytes - part, self.clock.now)])
