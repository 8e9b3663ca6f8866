"""Claims about entries: what is kept, for how long, under which key, and how it is forgotten."""

from __future__ import annotations

from itertools import product

from loomwire.domain.caching.entries import CacheKey
from loomwire.testing.contracts.cache_claims.harness import (
    ROOM,
    SPACE,
    CacheHarness,
    entry_of,
    is_gone,
    is_there,
    key,
    value_of,
)
from loomwire.testing.contracts.contract import claim, expect, needs, same

_VALUES = (b"", b"\x00", b"a", bytes(range(256)), b"{}" * 10_000, "żółw 🐢".encode())
_NAMESPACES = ("", "a", "a:", "a:b", "a/b", "a*", "a%", "A", "ą", "\U0001f422", "n" * 200)


class KeepingClaims(CacheHarness):
    """What is got is what was set, as long as it may be."""

    @claim
    async def test_a_fresh_cache_holds_nothing(self) -> None:
        """A fresh cache holds nothing, and says so."""
        async with self.cache(ROOM) as cache:
            await is_gone(cache, "a", "in a fresh cache")
            expect(not await cache.invalidate(key("a")), "`invalidate` says that it forgot what was never there")
            same(list(await cache.entries()), [], "the entries")
            same(await cache.sweep(), 0, "the number of swept entries")

    @claim
    async def test_what_is_set_is_got(self) -> None:
        """What is set is got, byte by byte, with the times it was set with."""
        async with self.cache(ROOM) as cache:
            for number, value in enumerate(_VALUES):
                await self.keep(cache, key(str(number)), value, 100, 50)
            for number, value in enumerate(_VALUES):
                entry = await entry_of(cache, str(number), f"the value of {len(value)} bytes is not there")
                same(entry.value, value, "the value")
                expect(entry.is_fresh and 0 <= entry.age_s < 50 * self.unit_s, f"it is {entry.age_s} s old at once")
                seen = (round(entry.ttl_s, 3), round(entry.keep_s, 3))
                same(seen, (100 * self.unit_s, 50 * self.unit_s), "(ttl_s, keep_s)")
                expect(entry.level, "it does not say which level had it")

    @claim
    async def test_a_value_takes_the_place_of_the_one_before(self) -> None:
        """A value takes the place of the one before, and has a time of its own."""
        async with self.cache(ROOM) as cache:
            await self.keep(cache, key("a"), b"old", 2)
            await self.after(cache, 1)
            await self.keep(cache, key("a"), b"new", 2)
            await is_there(cache, "a", b"new")
            await self.after(cache, 1.5)
            await is_there(cache, "a", b"new", " when the old one's time is over")

    @claim
    async def test_an_entry_ages(self) -> None:
        """`age_s` says how long ago an entry was kept, whoever asked for it meanwhile."""
        async with self.cache(ROOM) as cache:
            await self.keep(cache, key("a"), b"1")
            for passed in (2, 4):
                await self.after(cache, 2)
                age = (await entry_of(cache, "a", "it is gone within its `ttl_s`")).age_s
                lowest, highest = passed * self.unit_s - self.slack_s, (passed + 2) * self.unit_s + self.slack_s
                expect(lowest <= age < highest, f"after {passed * self.unit_s:g} s its age is {age:g} s")

    @claim
    async def test_an_entry_goes_stale_and_then_away(self) -> None:
        """An entry is fresh for `ttl_s`, stale for `keep_s` after that, and then it is never returned again."""
        async with self.cache(ROOM) as cache:
            await self.keep(cache, key("a"), b"1", 2, 4)
            await self.after(cache, 1)
            entry = await entry_of(cache, "a", "it is gone within its `ttl_s`")
            expect(entry.is_fresh, "it is not fresh within its `ttl_s`")
            await self.after(cache, 2)
            entry = await entry_of(cache, "a", "it is gone within its `keep_s`")
            expect(not entry.is_fresh and entry.stale_s > 0, "it is fresh after its `ttl_s`")
            await self.after(cache, 4)
            await is_gone(cache, "a", "after its `ttl_s` and `keep_s`")

    @claim
    async def test_without_more_it_goes_when_it_is_stale(self) -> None:
        """Without `keep_s` an entry is never returned stale."""
        async with self.cache(ROOM) as cache:
            await self.keep(cache, key("a"), b"1", 2)
            await self.after(cache, 2.5)
            await is_gone(cache, "a", "after its `ttl_s`")
            expect(not await cache.invalidate(key("a")), "`invalidate` says that it forgot what was over")

    @claim
    async def test_being_asked_for_makes_nothing_younger(self) -> None:
        """However often it is asked for, an entry lives no longer."""
        async with self.cache(ROOM) as cache:
            await self.keep(cache, key("a"), b"1", 3)
            for _ in range(3):
                await self.after(cache, 1.2)
                await cache.get(key("a"))
            await is_gone(cache, "a", "after its `ttl_s`")

    @claim
    async def test_no_key_gets_what_another_one_kept(self) -> None:
        """No key gets what another one kept, however much they are alike."""
        digests = [key("a").digest, key("b").digest, bytes(32), bytes(31) + b"\x01", b"\x01" + bytes(31), b":" * 32]
        keys = [CacheKey(namespace, digest) for namespace, digest in product(_NAMESPACES, digests)]
        async with self.cache(ROOM) as cache:
            for number, one in enumerate(keys):
                expect(await cache.get(one) is None, f"{one!r} has something before it was set")
                await self.keep(cache, one, b"%d" % number)
            for number, one in enumerate(keys):
                same(await value_of(cache, one), b"%d" % number, f"what is at {one!r}")
            await cache.invalidate(keys[0])
            expect(await cache.get(keys[0]) is None, "it is there although it was invalidated")
            for number, one in enumerate(keys[1:], 1):
                same(await value_of(cache, one), b"%d" % number, f"what is at {one!r} after another one went")

    @claim
    async def test_what_is_invalidated_is_gone(self) -> None:
        """`invalidate` forgets one entry, and tells whether there was one."""
        async with self.cache(ROOM) as cache:
            await self.keep(cache, key("a"), b"1")
            await self.keep(cache, key("b"), b"2")
            expect(await cache.invalidate(key("a")), "`invalidate` says that nothing was there")
            await is_gone(cache, "a", "after `invalidate`")
            expect(not await cache.invalidate(key("a")), "`invalidate` says the second time that it was there")
            await is_there(cache, "b", b"2", " at another key")
            await self.keep(cache, key("a"), b"3")
            await is_there(cache, "a", b"3", " anew")

    @claim
    async def test_clearing_forgets_everything(self) -> None:
        """`clear` forgets everything; what is set afterwards is kept."""
        async with self.cache(ROOM) as cache:
            for word in "abc":
                await self.keep(cache, key(word, word), b"1")
            await cache.clear()
            for word in "abc":
                expect(await cache.get(key(word, word)) is None, "after `clear` something is there")
            same(list(await cache.entries()), [], "the entries after `clear`")
            await self.keep(cache, key("a"), b"2")
            await is_there(cache, "a", b"2", " after `clear`")

    @claim
    async def test_clearing_a_namespace_spares_the_others(self) -> None:
        """`clear(namespace)` forgets that namespace and no other, however much they are alike."""
        async with self.cache(ROOM) as cache:
            for name in _NAMESPACES:
                await self.keep(cache, key("a", name), name.encode())
            for turn, name in enumerate(_NAMESPACES):
                await cache.clear(name)
                found = [other for other in _NAMESPACES if await cache.get(key("a", other)) is not None]
                same(found, list(_NAMESPACES[turn + 1 :]), f"the namespaces that are left after {name!r} was cleared")
            await cache.clear("never heard of")
            await self.keep(cache, key("a", "a"), b"anew")
            same(await value_of(cache, key("a", "a")), b"anew", "what was kept after the namespace was cleared")

    @claim
    async def test_what_was_cleared_never_comes_back(self) -> None:
        """Nothing that was kept before a namespace was cleared is returned when others are kept in it."""
        async with self.cache(ROOM) as cache:
            for word in "abc":
                await self.keep(cache, key(word), b"old")
            await cache.clear(SPACE)
            await self.keep(cache, key("b"), b"new")
            await cache.sweep()
            same([await value_of(cache, key(word)) for word in "abc"], [None, b"new", None], "what is there")

    @claim
    @needs("sweeps")
    async def test_sweeping_drops_what_is_over(self) -> None:
        """`sweep` drops what is older than it may be, tells how many entries that were, and spares the others."""
        async with self.cache(ROOM) as cache:
            for word in "abc":
                await self.keep(cache, key(word), b"1", 2, 1)
            await self.keep(cache, key("d"), b"2", 2, 90)
            await self.after(cache, 4)
            same(await cache.sweep(), 3, "the number of swept entries")
            same(await cache.sweep(), 0, "the number of entries swept again")
            await is_there(cache, "d", b"2", " stale")
