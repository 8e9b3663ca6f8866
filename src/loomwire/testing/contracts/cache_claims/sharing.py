"""Claims about those who use a cache together, leave early, or come when it is closed."""

from __future__ import annotations

import asyncio

from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.testing.contracts.cache_claims.harness import ROOM, CacheHarness, is_gone, is_there, key
from loomwire.testing.contracts.contract import cancelled_after, claim, expect, in_threads, needs, same

_TASKS = 20
_THREADS = 4
_ROUNDS = 10
_KEYS = 7


class SharingClaims(CacheHarness):
    """Tasks, threads and loops may share a cache, and cancellation harms nobody."""

    @claim
    async def test_tasks_may_share_it(self) -> None:
        """Tasks may use it at the same time; nobody gets another key's value."""
        async with self.cache(ROOM) as cache:
            wrong = await asyncio.gather(*(self._use(cache, number) for number in range(_TASKS)))
            same([each for some in wrong for each in some], [], "values that were kept under another key")

    @claim
    @needs("threads")
    async def test_threads_may_share_it(self) -> None:
        """Threads with loops of their own may use it at the same time; nobody gets another key's value."""
        async with self.cache(ROOM) as cache:
            await self.keep(cache, key("a"), b"1")
            wrong = await in_threads(_THREADS, lambda: self._use(cache, 0))
            same([each for some in wrong for each in some], [], "values that were kept under another key")
            await is_there(cache, "a", b"1", " on the loop it was set on")

    async def _use(self, cache: ICacheStrategy, offset: int) -> list[str]:
        """Do all that can be done with a few keys that others use too; return what was wrong."""
        wrong: list[str] = []
        for turn in range(_ROUNDS):
            word = f"key {(turn + offset) % _KEYS}"
            await self.keep(cache, key(word), word.encode() * (turn + 1))
            entry = await cache.get(key(word))
            if entry is not None and entry.value.replace(word.encode(), b""):
                wrong.append(f"{entry.value!r} at {word!r}")
            if turn % 4 == 3:
                await cache.invalidate(key(word))
            if turn % 9 == 8:
                await cache.entries()
                await cache.sweep()
            cache.statistics()
        return wrong

    @claim
    async def test_cancellation_harms_nobody(self) -> None:
        """Whoever is cancelled at any await leaves the old value, the new one or none, and a cache that works."""
        async with self.cache(ROOM) as cache:
            for count in range(4):
                await self.keep(cache, key("a"), b"old")
                await cancelled_after(count, self.keep(cache, key("a"), b"new"))
                await cancelled_after(count, cache.get(key("a")))
                await cancelled_after(count, cache.invalidate(key("b")))
                entry = await cache.get(key("a"))
                value = None if entry is None else entry.value
                expect(value in {None, b"old", b"new"}, f"{value!r} is there after {count} turns of the loop")
                await self.keep(cache, key("a"), b"later")
                await is_there(cache, "a", b"later", f" after a cancellation in turn {count}")

    @claim
    async def test_a_closed_cache_is_a_miss(self) -> None:
        """Closing twice does nothing; every method of a closed cache returns, and every look is a miss."""
        async with self.cache(ROOM) as cache:
            await self.keep(cache, key("a"), b"1")
            await cache.aclose()
            await cache.aclose()
            await is_gone(cache, "a", "after `aclose`")
            await self.keep(cache, key("b"), b"2")
            await is_gone(cache, "b", "set after `aclose`:")
            expect(not await cache.invalidate(key("a")), "`invalidate` says that it forgot something of a closed cache")
            await cache.clear()
            await cache.clear("planner")
            same(list(await cache.entries()), [], "the entries of a closed cache")
            same(await cache.sweep(), 0, "what `sweep` drops of a closed cache")
            cache.resize(0.5)
            cache.statistics()
