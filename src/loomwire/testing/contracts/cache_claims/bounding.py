"""Claims about room and books: how much is held, what is counted, what is shown."""

from __future__ import annotations

from loomwire.testing.contracts.cache_claims.harness import ROOM, CacheHarness, is_gone, is_there, key
from loomwire.testing.contracts.contract import claim, expect, needs, same

_MANY = 200
_PIECE = bytes(4096)
_SECRET = b"nobody may read this"


class BoundingClaims(CacheHarness):
    """No more is held than may be, and the books are right."""

    @claim
    @needs("bounded")
    async def test_no_more_is_held_than_may_be(self) -> None:
        """However much is set, no more bytes are held than the limit, and the latest entry is there."""
        async with self.cache(ROOM) as cache:
            for number in range(_MANY):
                await self.keep(cache, key(str(number)), _PIECE)
                await is_there(cache, str(number), _PIECE, " just after it was set")
            there = [number for number in range(_MANY) if await cache.get(key(str(number))) is not None]
            held = len(there) * len(_PIECE)
            expect(held <= ROOM, f"{held} bytes of values are there, and the limit is {ROOM}")
            expect(held >= ROOM / 4, f"only {held} bytes of values are there, and the limit is {ROOM}")
            statistics = cache.statistics()
            same(statistics.limit_bytes, ROOM, "`limit_bytes`")
            expect(statistics.evictions > 0, "no eviction was counted")
            size = statistics.size_bytes
            expect(size is None or held <= size <= ROOM, f"`size_bytes` is {size}, {held} are there, {ROOM} the limit")

    @claim
    @needs("bounded")
    async def test_what_is_too_large_is_not_kept(self) -> None:
        """What is larger than the limit is not kept, takes the place of the one before, and evicts nothing else."""
        async with self.cache(ROOM) as cache:
            await self.keep(cache, key("a"), b"1")
            await self.keep(cache, key("b"), b"2")
            await self.keep(cache, key("b"), bytes(ROOM + 1))
            await is_there(cache, "a", b"1", " beside something too large")
            await is_gone(cache, "b", "after something too large was set in its place")
            expect(cache.statistics().refused > 0, "no refusal was counted")

    @claim
    @needs("resizes")
    async def test_memory_is_given_back_at_once(self) -> None:
        """`resize` shrinks at once, to nothing at 0, and the whole size may be used again after 1."""
        async with self.cache(ROOM) as cache:
            for number in range(_MANY):
                await self.keep(cache, key(str(number)), _PIECE)
            cache.resize(0.5)
            there = [number for number in range(_MANY) if await cache.get(key(str(number))) is not None]
            expect(0 < len(there) * len(_PIECE) <= ROOM / 2, f"{len(there)} entries of {len(_PIECE)} bytes are left")
            cache.resize(0)
            await self.keep(cache, key("off"), b"1")
            await is_gone(cache, "off", "although the size is 0")
            await is_gone(cache, str(there[0]), "although the size is 0")
            cache.resize(1)
            await is_gone(cache, str(there[0]), "after it was given back")
            await self.keep(cache, key("on"), b"2")
            await is_there(cache, "on", b"2", " when the size is whole again")

    @claim
    async def test_hits_and_misses_add_up(self) -> None:
        """Every look is a hit or a miss, and stale hits, writes and failures are told apart."""
        async with self.cache(ROOM) as cache:
            before = cache.statistics()
            same((before.hits, before.misses, before.writes, before.errors), (0, 0, 0, 0), "a fresh cache's counts")
            await self.keep(cache, key("a"), b"1", 2, 90)
            await self.keep(cache, key("b"), b"2")
            for word in "aabx":
                await cache.get(key(word))
            await self.after(cache, 3)
            await cache.get(key("a"))
            now = cache.statistics()
            same((now.hits, now.misses, now.stale, now.writes), (4, 1, 1, 2), "(hits, misses, stale, writes)")
            same(now.errors, 0, "the errors")
            expect(now.level and now.resting_s == 0, "it names no level, or rests although nothing failed")

    @claim
    @needs("counts")
    async def test_what_is_held_is_known(self) -> None:
        """`statistics` says how many entries there are, what they take, and how old the oldest is."""
        async with self.cache(ROOM) as cache:
            same(cache.statistics().oldest_s, None, "the age of the oldest of none")
            await self.keep(cache, key("a"), bytes(1000))
            await self.after(cache, 2)
            await self.keep(cache, key("b"), bytes(1000))
            await self.keep(cache, key("b"), bytes(1000))
            now = cache.statistics()
            same(now.entries, 2, "`entries`")
            expect((now.size_bytes or 0) >= 2000, f"`size_bytes` is {now.size_bytes}")
            oldest = now.oldest_s
            expect(oldest is None or oldest >= 2 * self.unit_s - self.slack_s, f"`oldest_s` is {oldest}")
            await cache.invalidate(key("a"))
            same(cache.statistics().entries, 1, "`entries` after one was invalidated")
            await cache.clear()
            now = cache.statistics()
            same((now.entries, now.size_bytes), (0, 0), "(entries, size_bytes) after `clear`")

    @claim
    @needs("lists")
    async def test_the_most_wanted_entries_come_first(self) -> None:
        """`entries` shows those that were asked for most often, first, at most `limit`, of one namespace if asked."""
        async with self.cache(ROOM) as cache:
            for number, word in enumerate("abcd"):
                await self.keep(cache, key(word), bytes(number))
                for _ in range(number):
                    await cache.get(key(word))
            await self.keep(cache, key("x", "other"), b"")
            found = await cache.entries(limit=3)
            same([facts.digest for facts in found], [key(word).digest.hex() for word in "dcb"], "the first three")
            same([facts.hits for facts in found], [3, 2, 1], "their hits")
            expect(all(facts.age_s >= 0 and facts.fresh_s > 0 for facts in found), "an age or a time left is wrong")
            same([facts.namespace for facts in await cache.entries("other")], ["other"], "those of another namespace")

    @claim
    async def test_values_are_never_shown(self) -> None:
        """No value is shown by `entries`, by `statistics` or by the cache's own text."""
        async with self.cache(ROOM) as cache:
            await self.keep(cache, key("a"), _SECRET)
            await cache.get(key("a"))
            facts = [str(each.to_dict()) + repr(each) for each in await cache.entries()]
            shown = repr(cache) + repr(cache.statistics()) + "".join(facts)
            expect(_SECRET.decode() not in shown and _SECRET.hex() not in shown, "the value is shown")
