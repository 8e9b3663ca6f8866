"""Several levels as one: order, ages, what is promoted and what never is, and levels that break their promises."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass

import pytest

from loomwire.domain.caching.entries import CacheEntry, CacheKey
from loomwire.domain.caching.policies import MemoryLevel
from loomwire.infrastructure.caching.memory import MemoryCache
from loomwire.infrastructure.caching.tiered import TieredCache
from loomwire.testing import FakeClock
from support.caches import SlowLevel

KEY = CacheKey("planner", hashlib.sha256(b"1").digest())
OTHER = CacheKey("planner", hashlib.sha256(b"2").digest())
ROOM = 10**6


@dataclass
class Tiers:
    """A clock, memory above a slow level, and both as one."""

    clock: FakeClock
    memory: MemoryCache
    slow: SlowLevel
    cache: TieredCache


@pytest.fixture
def tiers() -> Tiers:
    """Return fresh and empty levels."""
    clock = FakeClock(start=100.0)
    memory, slow = MemoryCache(MemoryLevel(ROOM), now=clock.now), SlowLevel(ROOM, clock.now)
    return Tiers(clock, memory, slow, TieredCache([memory, slow]))


async def value(entry: CacheEntry | None) -> bytes | None:
    return None if entry is None else entry.value


async def test_what_is_fresh_above_is_not_looked_for_below(tiers: Tiers) -> None:
    await tiers.cache.set(KEY, b"1", ttl_s=10.0)
    tiers.slow.calls.clear()
    entry = await tiers.cache.get(KEY)
    assert entry is not None
    assert (entry.value, entry.level) == (b"1", "memory")
    assert tiers.slow.calls == []


async def test_a_hit_below_is_promoted_and_lives_no_longer_for_it(tiers: Tiers) -> None:
    await tiers.slow.set(KEY, b"1", ttl_s=10.0, keep_s=5.0)
    await tiers.clock.advance(7.0)
    below = await tiers.cache.get(KEY)
    assert below is not None
    assert below.age_s == 7.0
    above = await tiers.memory.get(KEY)
    assert above is not None
    assert (above.value, above.age_s, above.ttl_s, above.keep_s) == (b"1", 7.0, 10.0, 5.0)
    await tiers.clock.advance(7.0)
    stale = await tiers.cache.get(KEY)
    assert stale is not None
    assert (stale.is_fresh, stale.age_s) == (False, 14.0)
    await tiers.clock.advance(1.0)
    assert await tiers.cache.get(KEY) is None


async def test_a_fresh_entry_below_wins_over_a_stale_one_above(tiers: Tiers) -> None:
    await tiers.memory.set(KEY, b"old", ttl_s=1.0, keep_s=100.0)
    await tiers.clock.advance(2.0)
    await tiers.slow.set(KEY, b"new", ttl_s=10.0)
    assert await value(await tiers.cache.get(KEY)) == b"new"
    assert await value(await tiers.memory.get(KEY)) == b"new"


async def test_of_two_stale_entries_the_younger_one_wins(tiers: Tiers) -> None:
    await tiers.slow.set(KEY, b"old", ttl_s=1.0, keep_s=100.0)
    await tiers.clock.advance(1.0)
    await tiers.memory.set(KEY, b"new", ttl_s=1.0, keep_s=100.0)
    await tiers.clock.advance(2.0)
    assert await value(await tiers.cache.get(KEY)) == b"new"
    assert tiers.cache.statistics().stale == 1
    await tiers.slow.set(KEY, b"newest", ttl_s=0.5, keep_s=100.0)
    await tiers.clock.advance(1.0)
    assert await value(await tiers.cache.get(KEY)) == b"newest"
    assert await value(await tiers.memory.get(KEY)) == b"newest"


@pytest.mark.parametrize("what", ["invalidate", "clear", "clear one", "set"])
async def test_what_somebody_found_below_undoes_nothing(tiers: Tiers, what: str) -> None:
    await tiers.slow.set(KEY, b"old", ttl_s=100.0)
    tiers.slow.after = asyncio.Event()
    look = asyncio.ensure_future(tiers.cache.get(KEY))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if what == "invalidate":
        assert await tiers.cache.invalidate(KEY)
    elif what == "clear":
        await tiers.cache.clear()
    elif what == "clear one":
        await tiers.cache.clear("planner")
    else:
        await tiers.cache.set(KEY, b"new", ttl_s=100.0)
    tiers.slow.after.set()
    # It had read before, and may say so.
    assert await value(await look) == b"old"
    assert await value(await tiers.cache.get(KEY)) == (b"new" if what == "set" else None)


async def test_a_write_that_memory_cannot_hold_leaves_nothing_older_there(tiers: Tiers) -> None:
    await tiers.slow.set(KEY, b"old", ttl_s=100.0)
    tiers.memory.resize(0.0)
    tiers.slow.gate = asyncio.Event()
    write = asyncio.ensure_future(tiers.cache.set(KEY, b"new", ttl_s=100.0))
    await asyncio.sleep(0)
    tiers.memory.resize(1.0)
    # Somebody who looked below before the write arrived there.
    tiers.memory.promote(KEY, CacheEntry(b"old", 0.0, 100.0), tiers.memory.ticket(KEY))
    assert await value(await tiers.memory.get(KEY)) == b"old"
    tiers.slow.gate.set()
    await write
    assert await value(await tiers.cache.get(KEY)) == b"new"


async def test_purging_reaches_memory_even_when_it_is_cancelled(tiers: Tiers) -> None:
    for purge in (tiers.cache.clear, lambda: tiers.cache.invalidate(KEY)):
        tiers.slow.gate = None
        await tiers.cache.set(KEY, b"1", ttl_s=100.0)
        tiers.slow.gate = asyncio.Event()
        task = asyncio.ensure_future(purge())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        assert await tiers.memory.get(KEY) is None


async def test_writes_go_to_all_levels_at_the_same_time() -> None:
    clock = FakeClock(start=1.0)
    slow = [SlowLevel(ROOM, clock.now) for _ in range(3)]
    cache = TieredCache(slow)
    for level in slow:
        level.gate = asyncio.Event()
    write = asyncio.ensure_future(cache.set(KEY, b"1", ttl_s=1.0))
    for _ in range(3):
        await asyncio.sleep(0)
    assert [level.calls for level in slow] == [["set"]] * 3
    for level in slow:
        assert level.gate is not None
        level.gate.set()
    await write
    assert [await value(await level.inner.get(KEY)) for level in slow] == [b"1"] * 3


async def test_a_level_that_raises_is_a_miss_and_told_once(tiers: Tiers, caplog: pytest.LogCaptureFixture) -> None:
    tiers.slow.failing = ValueError("secret words")
    with caplog.at_level(logging.INFO, "loomwire.cache"):
        assert await tiers.cache.get(KEY) is None
        await tiers.cache.set(KEY, b"1", ttl_s=10.0)
        assert await value(await tiers.cache.get(KEY)) == b"1"
        assert [facts.level for facts in await tiers.cache.entries()] == ["memory"]
        assert await tiers.cache.sweep() == 0
        assert await tiers.cache.invalidate(KEY)
        await tiers.cache.clear()
        assert tiers.cache.statistics().errors == 6
        tiers.slow.failing = None
        assert await tiers.cache.get(KEY) is None
        assert await tiers.cache.get(KEY) is None
    assert [record.getMessage() for record in caplog.records] == [
        "cache level SlowLevel raised ValueError, which is taken for a miss",
        "cache level SlowLevel answers again",
    ]


async def test_statistics_are_those_of_all_levels_together(tiers: Tiers) -> None:
    await tiers.cache.set(KEY, bytes(100), ttl_s=1.0, keep_s=9.0)
    await tiers.clock.advance(2.0)
    await tiers.slow.set(OTHER, bytes(100), ttl_s=10.0)
    assert await tiers.cache.get(KEY) is not None
    found = tiers.cache.statistics()
    parts = tiers.memory.statistics(), tiers.slow.statistics()
    assert (found.level, found.entries, found.limit_bytes) == ("memory+memory", 2, 2 * ROOM)
    assert (found.hits, found.misses, found.stale, found.writes) == (1, 0, 1, 1)
    assert found.size_bytes == sum(part.size_bytes or 0 for part in parts)
    assert found.oldest_s == 2.0


async def test_entries_on_several_levels_are_shown_once(tiers: Tiers) -> None:
    await tiers.cache.set(KEY, b"1", ttl_s=10.0)
    await tiers.slow.set(OTHER, b"2", ttl_s=10.0)
    for _ in range(2):
        await tiers.cache.get(KEY)
    assert [facts.hits for facts in await tiers.cache.entries()] == [2, 0]
    assert len(await tiers.cache.entries(limit=1)) == 1


async def test_no_level_at_all_holds_nothing() -> None:
    cache = TieredCache(())
    await cache.set(KEY, b"1", ttl_s=1.0)
    assert await cache.get(KEY) is None
    assert not await cache.invalidate(KEY)
    assert await cache.sweep() == 0
    assert (cache.statistics().misses, cache.statistics().entries, cache.statistics().oldest_s) == (1, None, None)
    await cache.aclose()


async def test_closing_and_resizing_reach_every_level(tiers: Tiers) -> None:
    tiers.cache.resize(0.5)
    assert [level.statistics().limit_bytes for level in (tiers.memory, tiers.slow)] == [ROOM // 2] * 2
    await tiers.cache.aclose()
    assert tiers.slow.is_closed
