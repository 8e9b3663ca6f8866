"""What the claims about caches stand on."""

from __future__ import annotations

import asyncio
import hashlib
from abc import abstractmethod
from contextlib import AbstractAsyncContextManager
from typing import ClassVar, Final

from loomwire.domain.caching.entries import CacheEntry, CacheKey
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.testing.contracts.contract import Contract, SeenError, expect, same

ROOM: Final = 256 * 1024
"""Bytes that a cache of the claims holds unless a claim is about fewer."""

SPACE: Final = "planner"


class CacheHarness(Contract):
    """What a suite of a cache must write, and may say.

    Attributes:
        bounded: It holds at most the bytes it was told; a server has a bound of its own.
        resizes: `resize` gives memory back.
        counts: `statistics().entries` and `size_bytes` are known, and right as soon as a method has returned.
        lists: `entries` shows facts; what cannot list cheaply returns nothing.
        sweeps: What is over stays until it is swept; a server may drop it by itself.
        threads: It works on any thread and event loop.
        unit_s: Seconds that stand for one second of the claims; make it small where time really passes.
        slack_s: By how much ages may be wrong.
    """

    port: ClassVar[str] = "loomwire.domain.ports.caching.cache.ICacheStrategy"
    bounded: ClassVar[bool] = True
    resizes: ClassVar[bool] = True
    counts: ClassVar[bool] = True
    lists: ClassVar[bool] = True
    sweeps: ClassVar[bool] = True
    threads: ClassVar[bool] = True
    unit_s: ClassVar[float] = 1.0
    slack_s: ClassVar[float] = 0.05

    @abstractmethod
    def cache(self, limit_bytes: int) -> AbstractAsyncContextManager[ICacheStrategy]:
        """Return a context manager over a fresh, empty cache that holds at most so many bytes; it closes it."""
        raise self.unwritten("cache")

    async def let_pass(self, cache: ICacheStrategy, seconds: float) -> None:  # noqa: ARG002  # for those with a clock
        """Let time pass; override it for a cache whose clock stands still until it is moved."""
        await asyncio.sleep(seconds)

    async def after(self, cache: ICacheStrategy, seconds: float) -> None:
        """Let so many seconds of the claims pass."""
        await self.let_pass(cache, seconds * self.unit_s)

    async def keep(self, cache: ICacheStrategy, key: CacheKey, value: bytes, ttl: float = 100, keep: float = 0) -> None:
        """Keep a value for so many seconds of the claims."""
        await cache.set(key, value, ttl_s=ttl * self.unit_s, keep_s=keep * self.unit_s)


def key(word: str, namespace: str = SPACE) -> CacheKey:
    """Return the key of a word."""
    return CacheKey(namespace, hashlib.sha256(word.encode()).digest())


async def entry_of(cache: ICacheStrategy, word: str, otherwise: str) -> CacheEntry:
    """Return the entry at the key of a word, or fail and say `otherwise`."""
    entry = await cache.get(key(word))
    if entry is None:
        raise SeenError(otherwise)
    return entry


async def value_of(cache: ICacheStrategy, key: CacheKey) -> bytes | None:
    """Return the value at a key, or None."""
    entry = await cache.get(key)
    return None if entry is None else entry.value


async def is_there(cache: ICacheStrategy, word: str, value: bytes, when: str = "") -> None:
    """Fail unless this value is at the key of a word."""
    same(await value_of(cache, key(word)), value, f"what is kept{when}")


async def is_gone(cache: ICacheStrategy, word: str, when: str) -> None:
    """Fail unless nothing is at the key of a word."""
    expect(await cache.get(key(word)) is None, f"{when} it is still there")
