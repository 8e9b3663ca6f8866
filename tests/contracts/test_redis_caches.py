"""The level in Redis keeps the contract of ICacheStrategy, by itself and shielded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import ClassVar

import pytest
from typing_extensions import override

from loomwire.domain.caching.policies import RedisLevel
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.domain.values import Secret
from loomwire.infrastructure.caching.redis_cache import RedisCache
from loomwire.infrastructure.caching.shielded import Shielded
from loomwire.testing import FakeClock
from loomwire.testing.contracts.cache import CacheContract
from support.fake_redis import fake_redis
from support.real_redis import PROGRAM, real_redis


class TestRedisCache(CacheContract):
    bounded: ClassVar[bool] = False
    resizes: ClassVar[bool] = False
    counts: ClassVar[bool] = False
    lists: ClassVar[bool] = False
    sweeps: ClassVar[bool] = False
    clock: ClassVar[FakeClock] = FakeClock(1_000_000.0)

    @override
    async def let_pass(self, cache: ICacheStrategy, seconds: float) -> None:
        self.clock.move(seconds)

    @override
    @asynccontextmanager
    async def cache(self, limit_bytes: int) -> AsyncGenerator[ICacheStrategy]:
        running = fake_redis()
        # A thread is started and joined, which no loop may wait for.
        server = await asyncio.to_thread(running.__enter__)
        server.now = self.clock.now
        cache = RedisCache(RedisLevel(Secret(server.url)), wall=self.clock.now)
        await cache.prepare()
        try:
            yield cache
        finally:
            await cache.aclose()
            await asyncio.to_thread(running.__exit__, None, None, None)


class TestShieldedRedisCache(TestRedisCache):
    @override
    @asynccontextmanager
    async def cache(self, limit_bytes: int) -> AsyncGenerator[ICacheStrategy]:
        async with super().cache(limit_bytes) as inner:
            yield Shielded(inner, timeout_s=5, now=self.clock.now)


@pytest.mark.full
@pytest.mark.skipif(PROGRAM is None, reason="no redis-server: apt install redis-server")
class TestRealRedisCache(TestRedisCache):
    unit_s: ClassVar[float] = 0.2

    @override
    async def let_pass(self, cache: ICacheStrategy, seconds: float) -> None:
        await asyncio.sleep(seconds)

    @override
    @asynccontextmanager
    async def cache(self, limit_bytes: int) -> AsyncGenerator[ICacheStrategy]:
        running = real_redis()
        server = await asyncio.to_thread(running.__enter__)
        cache = Shielded(RedisCache(RedisLevel(Secret(server.url))), timeout_s=5, now=time.monotonic)
        try:
            yield cache
        finally:
            await cache.aclose()
            await asyncio.to_thread(running.__exit__, None, None, None)
