"""Levels for tests of what stands above them: one that is slow, and does what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from typing_extensions import override

from loomwire.domain.caching.entries import CacheEntry, CacheKey, CacheStatistics, EntryFacts
from loomwire.domain.caching.policies import MemoryLevel
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.infrastructure.caching.memory import MemoryCache


class SlowLevel(ICacheStrategy):
    """Keeps entries as the memory does, and lets others run before and after every step.

    Attributes:
        inner: What really keeps them.
        calls: The methods that were called.
        failing: Raise this in every method.
        gate: Wait for this before each step; None waits for a turn of the loop.
    """

    def __init__(self, limit_bytes: int, now: Callable[[], float]) -> None:
        self.inner = MemoryCache(MemoryLevel(limit_bytes), now=now)
        self.calls: list[str] = []
        self.failing: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.after: asyncio.Event | None = None
        self.is_closed = False

    async def step(self, name: str) -> None:
        """Note a call and let others run."""
        self.calls.append(name)
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        if self.failing is not None:
            raise self.failing

    @override
    async def get(self, key: CacheKey) -> CacheEntry | None:
        await self.step("get")
        found = await self.inner.get(key)
        if self.after is not None:
            await self.after.wait()
        return found

    @override
    async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
        await self.step("set")
        await self.inner.set(key, value, ttl_s=ttl_s, keep_s=keep_s)

    @override
    async def invalidate(self, key: CacheKey) -> bool:
        await self.step("invalidate")
        return await self.inner.invalidate(key)

    @override
    async def clear(self, namespace: str | None = None) -> None:
        await self.step("clear")
        await self.inner.clear(namespace)

    @override
    def statistics(self) -> CacheStatistics:
        return self.inner.statistics()

    @override
    async def entries(self, namespace: str | None = None, limit: int = 20) -> Sequence[EntryFacts]:
        await self.step("entries")
        return await self.inner.entries(namespace, limit)

    @override
    async def sweep(self) -> int:
        await self.step("sweep")
        return await self.inner.sweep()

    @override
    def resize(self, share: float) -> None:
        self.inner.resize(share)

    @override
    async def aclose(self) -> None:
        await self.step("aclose")
        self.is_closed = True
        await self.inner.aclose()
