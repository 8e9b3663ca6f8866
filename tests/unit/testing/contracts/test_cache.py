"""The contract of caches notices every broken promise."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import ClassVar

import pytest
from typing_extensions import override

from loomwire.domain.caching.entries import CacheEntry, CacheKey, CacheStatistics, EntryFacts
from loomwire.domain.caching.policies import MemoryLevel
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.infrastructure.caching.memory import MemoryCache
from loomwire.testing import FakeClock
from loomwire.testing.contracts.cache import CacheContract
from loomwire.testing.contracts.contract import Contract


class Cache(ICacheStrategy):
    """A cache that keeps its promises; the others break one each."""

    def __init__(self, limit_bytes: int, clock: FakeClock) -> None:
        self.clock = clock
        self.inner = MemoryCache(MemoryLevel(limit_bytes), now=clock.now)

    @override
    async def get(self, key: CacheKey) -> CacheEntry | None:
        return await self.inner.get(key)

    @override
    async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
        await self.inner.set(key, value, ttl_s=ttl_s, keep_s=keep_s)

    @override
    async def invalidate(self, key: CacheKey) -> bool:
        return await self.inner.invalidate(key)

    @override
    async def clear(self, namespace: str | None = None) -> None:
        await self.inner.clear(namespace)

    @override
    def statistics(self) -> CacheStatistics:
        return self.inner.statistics()

    @override
    async def entries(self, namespace: str | None = None, limit: int = 20) -> Sequence[EntryFacts]:
        return await self.inner.entries(namespace, limit)

    @override
    async def sweep(self) -> int:
        return await self.inner.sweep()

    @override
    def resize(self, share: float) -> None:
        self.inner.resize(share)

    @override
    async def aclose(self) -> None:
        await self.inner.aclose()


class Haunted(Cache):
    @override
    async def sweep(self) -> int:
        return await super().sweep() + 1


class Textual(Cache):
    """Takes values for text without a NUL."""

    @override
    async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
        await super().set(key, value.rstrip(b"\x00"), ttl_s=ttl_s, keep_s=keep_s)


class Forgetful(Cache):
    """Says nothing of the times an entry was set with."""

    @override
    async def get(self, key: CacheKey) -> CacheEntry | None:
        found = await super().get(key)
        return None if found is None else replace(found, keep_s=0.0)


class FirstComes(Cache):
    @override
    async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
        if not self.inner.holds(key, b"old"):
            await super().set(key, value, ttl_s=ttl_s, keep_s=keep_s)


class Ageless(Cache):
    @override
    async def get(self, key: CacheKey) -> CacheEntry | None:
        found = await super().get(key)
        return None if found is None else replace(found, age_s=0.0)


class Abrupt(Cache):
    @override
    async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
        await super().set(key, value, ttl_s=ttl_s)


class Late(Cache):
    """Everything may be asked for a while longer."""

    @override
    async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
        await super().set(key, value, ttl_s=ttl_s, keep_s=keep_s + 50)


class Sliding(Cache):
    """A look makes an entry as good as new."""

    @override
    async def get(self, key: CacheKey) -> CacheEntry | None:
        found = await super().get(key)
        if found is not None:
            await self.set(key, found.value, ttl_s=found.ttl_s, keep_s=found.keep_s)
        return found


class Joined(Cache):
    """Joins namespace and digest without a word between them, after something that looks harmless."""

    @staticmethod
    def plain(key: CacheKey) -> CacheKey:
        return CacheKey(key.namespace.lower(), key.digest)

    @override
    async def get(self, key: CacheKey) -> CacheEntry | None:
        return await super().get(self.plain(key))

    @override
    async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
        await super().set(self.plain(key), value, ttl_s=ttl_s, keep_s=keep_s)


class Keeps(Cache):
    @override
    async def invalidate(self, key: CacheKey) -> bool:
        return await self.inner.get(key) is not None


class KeepsAll(Cache):
    @override
    async def clear(self, namespace: str | None = None) -> None:
        if namespace is not None:
            await super().clear(namespace)


class ClearsPrefix(Cache):
    """Purges what begins with the name."""

    @override
    async def clear(self, namespace: str | None = None) -> None:
        names = {facts.namespace for facts in await self.inner.entries(limit=1000)}
        for name in names:
            if namespace is None or name.startswith(namespace):
                await super().clear(name)


class Resurrecting(Cache):
    """What was cleared is hidden, until something is kept in the same namespace."""

    def __init__(self, limit_bytes: int, clock: FakeClock) -> None:
        super().__init__(limit_bytes, clock)
        self.hidden: set[str] = set()

    @override
    async def clear(self, namespace: str | None = None) -> None:
        if namespace is not None:
            self.hidden.add(namespace)

    @override
    async def get(self, key: CacheKey) -> CacheEntry | None:
        return None if key.namespace in self.hidden else await super().get(key)

    @override
    async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
        self.hidden.discard(key.namespace)
        await super().set(key, value, ttl_s=ttl_s, keep_s=keep_s)


class NeverSweeps(Cache):
    @override
    async def sweep(self) -> int:
        return 0


class Boundless(Cache):
    def __init__(self, limit_bytes: int, clock: FakeClock) -> None:
        super().__init__(limit_bytes * 100, clock)


class EvictsForNothing(Cache):
    @override
    async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
        if len(value) > (self.statistics().limit_bytes or 0):
            await self.inner.clear()
        await super().set(key, value, ttl_s=ttl_s, keep_s=keep_s)


class Greedy(Cache):
    @override
    def resize(self, share: float) -> None:
        """Give nothing back."""


class Flattering(Cache):
    @override
    def statistics(self) -> CacheStatistics:
        return replace(super().statistics(), misses=0)


class Vague(Cache):
    @override
    def statistics(self) -> CacheStatistics:
        return replace(super().statistics(), size_bytes=0)


class Unordered(Cache):
    @override
    async def entries(self, namespace: str | None = None, limit: int = 20) -> Sequence[EntryFacts]:
        return tuple(reversed(await super().entries(namespace, 100)))[:limit]


class Talkative(Cache):
    def __init__(self, limit_bytes: int, clock: FakeClock) -> None:
        super().__init__(limit_bytes, clock)
        self.last = b""

    @override
    def __repr__(self) -> str:
        return f"Talkative(last={self.last!r})"

    @override
    async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
        self.last = value
        await super().set(key, value, ttl_s=ttl_s, keep_s=keep_s)


class OneRoom(Cache):
    """Keeps the last key in one place while it waits."""

    @override
    async def get(self, key: CacheKey) -> CacheEntry | None:
        self.asked = key
        await asyncio.sleep(0)
        return await super().get(self.asked)


class OneLoop(Cache):
    """Works only on the thread that asked it first."""

    def __init__(self, limit_bytes: int, clock: FakeClock) -> None:
        super().__init__(limit_bytes, clock)
        self.thread = threading.get_ident()

    @override
    async def get(self, key: CacheKey) -> CacheEntry | None:
        if threading.get_ident() != self.thread:
            raise RuntimeError("this is another loop")
        return await super().get(key)


class Locked(Cache):
    """Whoever is cancelled inside leaves the door shut."""

    def __init__(self, limit_bytes: int, clock: FakeClock) -> None:
        super().__init__(limit_bytes, clock)
        self.is_busy = False

    @override
    async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
        if self.is_busy:
            return
        self.is_busy = True
        await asyncio.sleep(0)
        await super().set(key, value, ttl_s=ttl_s, keep_s=keep_s)
        self.is_busy = False


class GoesOn(Cache):
    @override
    async def aclose(self) -> None:
        """Close nothing."""


class Suite(CacheContract):
    patience_s: ClassVar[float] = 5.0

    def __init__(self, broken: type[Cache]) -> None:
        self.broken = broken
        self.clock = FakeClock(start=100.0)

    @override
    @asynccontextmanager
    async def cache(self, limit_bytes: int) -> AsyncGenerator[ICacheStrategy]:
        yield self.broken(limit_bytes, self.clock)

    @override
    async def let_pass(self, cache: ICacheStrategy, seconds: float) -> None:
        await self.clock.advance(seconds)


BROKEN: list[tuple[str, type[Cache], str]] = [
    ("a_fresh_cache_holds_nothing", Haunted, "the number of swept entries is 1 and not 0"),
    ("what_is_set_is_got", Textual, "the value is b'' and not b'\\x00'"),
    ("what_is_set_is_got", Forgetful, "(ttl_s, keep_s) is (100.0, 0.0)"),
    ("a_value_takes_the_place_of_the_one_before", FirstComes, "what is kept is b'old'"),
    ("an_entry_ages", Ageless, "after 2 s its age is 0 s"),
    ("an_entry_goes_stale_and_then_away", Abrupt, "it is gone within its `keep_s`"),
    ("an_entry_goes_stale_and_then_away", Ageless, "it is fresh after its `ttl_s`"),
    ("an_entry_goes_stale_and_then_away", Late, "after its `ttl_s` and `keep_s` it is still there"),
    ("without_more_it_goes_when_it_is_stale", Late, "after its `ttl_s` it is still there"),
    ("being_asked_for_makes_nothing_younger", Sliding, "after its `ttl_s` it is still there"),
    ("no_key_gets_what_another_one_kept", Joined, "has something before it was set"),
    ("what_is_invalidated_is_gone", Keeps, "after `invalidate` it is still there"),
    ("clearing_forgets_everything", KeepsAll, "after `clear` something is there"),
    ("clearing_a_namespace_spares_the_others", ClearsPrefix, "that are left after '' was cleared is []"),
    ("what_was_cleared_never_comes_back", Resurrecting, "what is there is [b'old', b'new', b'old']"),
    ("sweeping_drops_what_is_over", NeverSweeps, "the number of swept entries is 0 and not 3"),
    ("no_more_is_held_than_may_be", Boundless, "bytes of values are there, and the limit is"),
    ("what_is_too_large_is_not_kept", EvictsForNothing, "what is kept beside something too large is None"),
    ("memory_is_given_back_at_once", Greedy, "entries of 4096 bytes are left"),
    ("hits_and_misses_add_up", Flattering, "(hits, misses, stale, writes) is (4, 0, 1, 2)"),
    ("what_is_held_is_known", Vague, "`size_bytes` is 0"),
    ("the_most_wanted_entries_come_first", Unordered, "the first three is"),
    ("values_are_never_shown", Talkative, "the value is shown"),
    ("tasks_may_share_it", OneRoom, "values that were kept under another key is ["),
    ("threads_may_share_it", OneLoop, "this is another loop"),
    ("cancellation_harms_nobody", Locked, "after a cancellation in turn"),
    ("a_closed_cache_is_a_miss", GoesOn, "after `aclose` it is still there"),
]


@pytest.mark.parametrize(("claim", "broken", "seen"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_promise_is_noticed(
    claim: str, broken: type[Cache], seen: str, breach: Callable[[Contract, str], str]
) -> None:
    assert seen in breach(Suite(broken), f"test_{claim}")


def test_every_claim_of_the_contract_is_proved_to_fail() -> None:
    claims = {name.removeprefix("test_") for name in dir(CacheContract) if name.startswith("test_")}
    assert claims == {claim for claim, _, _ in BROKEN}


@pytest.mark.parametrize("claim", sorted({claim for claim, _, _ in BROKEN}))
def test_a_cache_that_keeps_its_promises_passes(claim: str) -> None:
    getattr(Suite(Cache), f"test_{claim}")()


def test_without_a_clock_of_its_own_time_really_passes() -> None:
    class Real(CacheContract):
        unit_s: ClassVar[float] = 0.1
        slack_s: ClassVar[float] = 0.01

        @override
        @asynccontextmanager
        async def cache(self, limit_bytes: int) -> AsyncGenerator[ICacheStrategy]:
            yield MemoryCache(MemoryLevel(limit_bytes))

    Real().test_an_entry_goes_stale_and_then_away()
