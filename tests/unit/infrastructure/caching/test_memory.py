"""The memory level: room, time, purging, what an entry costs, threads and forks."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import time
import tracemalloc
from collections.abc import Callable
from typing import get_args

import pytest

from loomwire.domain.caching.entries import CacheEntry, CacheKey
from loomwire.domain.caching.policies import EvictionRule, MemoryLevel
from loomwire.infrastructure.caching.eviction.slots import OVERHEAD
from loomwire.infrastructure.caching.eviction.table import ORDERS
from loomwire.infrastructure.caching.memory import MemoryCache
from loomwire.testing import FakeClock
from support.forking import is_true_in_child

RULES: tuple[EvictionRule, ...] = get_args(EvictionRule)
PIECE = bytes(1000)


def key(number: int, namespace: str = "planner") -> CacheKey:
    return CacheKey(namespace, number.to_bytes(32, "big"))


async def filled(cache: MemoryCache, count: int, ttl_s: float = 100.0) -> None:
    for number in range(count):
        await cache.set(key(number), PIECE, ttl_s=ttl_s)


async def there(cache: MemoryCache, count: int) -> list[int]:
    return [number for number in range(count) if await cache.get(key(number)) is not None]


def test_every_strategy_has_a_row() -> None:
    assert set(ORDERS) == set(OVERHEAD) == set(RULES)


@pytest.mark.parametrize(("rule", "left"), [("lru", [0, 2, 3]), ("lfu", [0, 2, 3]), ("ttl", [1, 2, 3])])
async def test_who_makes_room_is_the_strategys_decision(rule: EvictionRule, left: list[int]) -> None:
    cache = MemoryCache(MemoryLevel(3 * (len(PIECE) + 600), rule))
    for number, ttl_s in enumerate((10.0, 30.0, 20.0)):
        await cache.set(key(number), PIECE, ttl_s=ttl_s)
    for number in (0, 0, 2, 1, 2, 0):
        await cache.get(key(number))
    if rule == "lru":
        await cache.get(key(2))
    await cache.set(key(3), PIECE, ttl_s=5.0)
    assert await there(cache, 4) == left
    assert cache.statistics().evictions == 1


@pytest.mark.parametrize("rule", RULES)
async def test_what_an_entry_is_said_to_take_is_what_python_takes(rule: EvictionRule) -> None:
    count, spread = 5462, 0.25
    cache = MemoryCache(MemoryLevel(10**8, rule))
    await cache.set(key(count), b"", ttl_s=1.0)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(count):
            await cache.set(key(number), os.urandom(100), ttl_s=100.0 + number / 8)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    said = cache.statistics().size_bytes
    assert said is not None
    assert taken * (1 - spread) <= said <= taken * (1 + spread)
    assert said >= taken * 0.98, f"{rule}: {taken / count:.0f} bytes an entry"


@pytest.mark.parametrize("rule", RULES)
async def test_entries_that_go_leave_no_bytes_behind(rule: EvictionRule) -> None:
    cache = MemoryCache(MemoryLevel(10**6, rule))
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for turn in range(30):
            await cache.set(key(1), bytes(10**5), ttl_s=100.0 + turn)
            await cache.set(key(2 + turn), bytes(10**5), ttl_s=100.0)
        await cache.set(key(0, "other"), bytes(10**5), ttl_s=100.0)
        await cache.clear("other")
        await cache.invalidate(key(1))
        held = tracemalloc.get_traced_memory()[0]
        await cache.clear()
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    assert held < 1.2 * 10**6
    assert left < 10**5


async def test_what_is_too_large_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    cache = MemoryCache(MemoryLevel(2000))
    await cache.set(key(0), b"small", ttl_s=1.0)
    with caplog.at_level(logging.INFO, "loomwire.cache"):
        for _ in range(3):
            await cache.set(key(1), bytes(3000), ttl_s=1.0)
    assert [record.getMessage() for record in caplog.records] == [
        "an entry of 3579 bytes does not fit into the cache in memory (2000)"
    ]
    assert cache.statistics().refused == 3
    assert await there(cache, 2) == [0]


async def test_an_entry_without_a_lifetime_is_not_kept() -> None:
    cache = MemoryCache()
    await filled(cache, 3)
    for number, ttl_s in enumerate((0.0, -1.0, float("nan"))):
        await cache.set(key(number), b"1", ttl_s=ttl_s)
    assert await there(cache, 3) == []
    assert cache.statistics().refused == 3


async def test_a_clock_that_runs_backwards_empties_it() -> None:
    times = [100.0]
    cache = MemoryCache(now=lambda: times[0])
    await cache.set(key(0), b"1", ttl_s=10.0)
    ticket = cache.ticket(key(1))
    times[0] = 99.0
    assert await cache.get(key(0)) is None
    cache.promote(key(1), CacheEntry(b"1", 0.0, 10.0), ticket)
    assert await cache.get(key(1)) is None
    await cache.set(key(0), b"2", ttl_s=10.0)
    entry = await cache.get(key(0))
    assert entry is not None
    assert (entry.value, entry.age_s) == (b"2", 0.0)


async def test_a_cleared_namespace_makes_room_before_anybody_else() -> None:
    cache = MemoryCache(MemoryLevel(4 * (len(PIECE) + 600), "lfu"))
    for number in range(2):
        await cache.set(key(number, "gone"), PIECE, ttl_s=100.0)
        for _ in range(5):
            await cache.get(key(number, "gone"))
    await filled(cache, 2)
    await cache.clear("gone")
    held = cache.statistics()
    assert held.entries == 2
    assert held.size_bytes == 4 * (OVERHEAD["lfu"] + 32 + 1000) + 2 * 7 + 2 * 4
    await filled(cache, 4)
    assert await there(cache, 4) == [0, 1, 2, 3]
    assert cache.statistics().evictions == 0


async def test_sweeping_drops_what_was_cleared() -> None:
    cache = MemoryCache()
    await filled(cache, 600)
    await cache.clear("planner")
    await cache.set(key(0), b"anew", ttl_s=100.0)
    assert await cache.sweep() == 0
    statistics = cache.statistics()
    assert (statistics.entries, statistics.size_bytes) == (1, OVERHEAD["lru"] + 32 + 7 + 4)
    assert await there(cache, 2) == [0]


async def test_sweeping_lets_others_run_and_spares_what_they_set() -> None:
    clock = FakeClock(start=5.0)
    cache = MemoryCache(now=clock.now)
    await filled(cache, 1000, ttl_s=1.0)
    await clock.advance(2.0)
    sweeping = asyncio.ensure_future(cache.sweep())
    await asyncio.sleep(0)
    await cache.set(key(999), b"anew", ttl_s=1.0)
    await cache.invalidate(key(998))
    await cache.clear("planner")
    await cache.set(key(997), b"anew", ttl_s=1.0)
    assert await sweeping == 1000
    assert await there(cache, 1000) == [997]


async def test_a_size_of_nothing_is_off_until_it_is_given_back() -> None:
    cache = MemoryCache(MemoryLevel(10**6))
    await filled(cache, 600)
    cache.resize(0.0)
    off = cache.statistics()
    assert (off.entries, off.size_bytes, off.limit_bytes, off.evictions) == (0, 0, 0, 600)
    await cache.set(key(0), b"1", ttl_s=1.0)
    assert await cache.get(key(0)) is None
    cache.resize(1.0)
    await filled(cache, 600)
    assert (cache.statistics().entries, cache.statistics().limit_bytes) == (600, 10**6)


async def test_another_size_keeps_what_fits_and_the_share_that_holds() -> None:
    cache = MemoryCache(MemoryLevel(10**6))
    await filled(cache, 100)
    cache.resize(0.5)
    cache.adapt(MemoryLevel(10**5))
    assert cache.statistics().limit_bytes == 5 * 10**4
    assert len(await there(cache, 100)) == 5 * 10**4 // (OVERHEAD["lru"] + 39 + 1000)
    cache.adapt(MemoryLevel(10**7))
    cache.resize(1.0)
    assert cache.statistics().limit_bytes == 10**7
    assert (await there(cache, 100))[-1] == 99


async def test_of_two_that_resize_at_once_the_last_one_counts() -> None:
    cache = MemoryCache(MemoryLevel(10**8, "ttl"))
    await filled(cache, 20_000)
    shares = [0.05, 1.0] * 20

    def resize() -> None:
        for share in shares:
            cache.resize(share)

    threads = [threading.Thread(target=resize) for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        await cache.set(key(1), PIECE, ttl_s=1000.0)
        await asyncio.sleep(0)
    for thread in threads:
        thread.join()
    statistics = cache.statistics()
    assert statistics.limit_bytes == 10**8
    cache.resize(0.05)
    assert (cache.statistics().size_bytes or 0) <= 5 * 10**6


async def test_what_was_found_elsewhere_is_kept_as_old_as_it_is() -> None:
    clock = FakeClock(start=5.0)
    cache = MemoryCache(now=clock.now)
    ticket = cache.ticket(key(0))
    await clock.advance(1.0)
    cache.promote(key(0), CacheEntry(b"1", 6.0, 10.0, "disk", 5.0), ticket)
    entry = await cache.get(key(0))
    assert entry is not None
    assert (entry.age_s, entry.ttl_s, entry.keep_s, entry.level) == (7.0, 10.0, 5.0, "memory")
    await clock.advance(3.0)
    stale = await cache.get(key(0))
    assert stale is not None
    assert not stale.is_fresh
    await clock.advance(5.0)
    assert await cache.get(key(0)) is None


async def _set(cache: MemoryCache) -> None:
    await cache.set(key(0), b"new", ttl_s=1.0)


async def _invalidate(cache: MemoryCache) -> None:
    await cache.invalidate(key(0))


async def _clear(cache: MemoryCache) -> None:
    await cache.clear()


async def _clear_one(cache: MemoryCache) -> None:
    await cache.clear("planner")


@pytest.mark.parametrize("change", [_set, _invalidate, _clear, _clear_one])
async def test_what_was_found_elsewhere_undoes_nothing(change: Callable[[MemoryCache], object]) -> None:
    clock = FakeClock(start=5.0)
    cache = MemoryCache(now=clock.now)
    ticket = cache.ticket(key(0))
    done = change(cache)
    assert asyncio.iscoroutine(done)
    await done
    cache.promote(key(0), CacheEntry(b"old", 0.0, 10.0), ticket)
    entry = await cache.get(key(0))
    assert entry is None or entry.value == b"new"


async def test_what_was_found_elsewhere_takes_the_place_of_what_is_older() -> None:
    clock = FakeClock(start=50.0)
    cache = MemoryCache(now=clock.now)
    await cache.set(key(0), b"here", ttl_s=10.0)
    await clock.advance(4.0)
    cache.promote(key(0), CacheEntry(b"as old", 4.0, 10.0), cache.ticket(key(0)))
    entry = await cache.get(key(0))
    assert entry is not None
    assert entry.value == b"here"
    cache.promote(key(0), CacheEntry(b"younger", 3.0, 10.0), cache.ticket(key(0)))
    entry = await cache.get(key(0))
    assert entry is not None
    assert (entry.value, entry.age_s) == (b"younger", 3.0)


async def test_whether_a_value_is_here_is_no_look() -> None:
    cache = MemoryCache()
    assert not cache.holds(key(0), b"1")
    await cache.set(key(0), b"1", ttl_s=1.0)
    assert cache.holds(key(0), b"1")
    assert not cache.holds(key(0), b"2")
    assert (cache.statistics().hits, cache.statistics().misses) == (0, 0)


async def test_many_that_were_dropped_do_not_pile_up_in_the_order() -> None:
    cache = MemoryCache(MemoryLevel(strategy="ttl"))
    for turn in range(2000):
        await cache.set(key(turn % 3), b"1", ttl_s=100.0 + turn)
    gc.collect()
    tracemalloc.start()
    try:
        for turn in range(2000):
            await cache.set(key(turn % 3), b"1", ttl_s=9000.0 + turn)
        assert tracemalloc.get_traced_memory()[0] < 50_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rule", RULES)
def test_a_step_takes_as_long_with_ten_times_the_entries(rule: EvictionRule) -> None:
    def steps(cache: MemoryCache, start: int, count: int) -> float:
        """Return seconds for one set that evicts, and a look."""

        async def go() -> float:
            begun = time.thread_time()
            for number in range(start, start + count):
                await cache.set(key(number), b"1", ttl_s=100.0 + number * 7919 % 1000)
                await cache.get(key(max(0, number - 3)))
            return (time.thread_time() - begun) / count

        return asyncio.run(go())

    figures = []
    for size in (1000, 10_000):
        cache = MemoryCache(MemoryLevel(size * (OVERHEAD[rule] + 40), rule))
        steps(cache, 0, size + 500)
        figures.append(min(steps(cache, size + 500 + 500 * turn, 500) for turn in range(5)))
        assert cache.statistics().evictions > 0
    assert figures[1] < 3 * figures[0] + 2e-6, f"{rule}: {figures}"


def test_a_child_starts_anew_when_somebody_was_changing_entries() -> None:
    during: list[MemoryCache] = []

    def now() -> float:
        """Be, once, in the child of a process that holds the lock."""
        for cache in during:
            cache.after_fork()
        return 1.0

    whole, torn = MemoryCache(now=now), MemoryCache(now=now)
    for cache in (whole, torn):
        asyncio.run(cache.set(key(0), b"1", ttl_s=100.0))
    whole.after_fork()
    assert asyncio.run(there(whole, 1)) == [0]
    during.append(torn)
    assert asyncio.run(there(torn, 1)) == []
    assert torn.statistics().size_bytes == 0


def test_a_child_has_what_its_parent_kept_and_waits_for_none_of_its_threads() -> None:
    is_held, may_go = threading.Event(), threading.Event()

    def now() -> float:
        """Hold the lock for a while."""
        if threading.current_thread().name == "busy":
            is_held.set()
            may_go.wait(10)
        return 1.0

    quiet, used = MemoryCache(), MemoryCache(now=now)
    busy = threading.Thread(target=used.statistics, name="busy")
    for cache in (quiet, used):
        asyncio.run(cache.set(key(0), b"1", ttl_s=100.0))
    busy.start()
    is_held.wait(10)
    assert is_true_in_child(lambda: asyncio.run(there(quiet, 1)) == [0] and asyncio.run(there(used, 1)) == [])
    may_go.set()
    busy.join()
    assert asyncio.run(there(used, 1)) == [0]


async def test_a_clock_that_runs_backwards_while_somebody_sweeps_disturbs_nobody() -> None:
    clock = FakeClock()
    back: list[float] = []
    cache = MemoryCache(MemoryLevel(10**7), now=lambda: clock.now() - sum(back))
    await filled(cache, 1000, ttl_s=1.0)
    await clock.advance(10.0)
    sweeping = asyncio.create_task(cache.sweep())
    await asyncio.sleep(0)
    back.append(5.0)
    await cache.set(key(5), PIECE, ttl_s=1.0)
    await sweeping
    assert (cache.statistics().entries, await there(cache, 1000)) == (1, [5])


async def test_the_oldest_is_who_is_there_longest_in_any_namespace() -> None:
    clock = FakeClock()
    cache = MemoryCache(MemoryLevel(10**7), now=clock.now)
    for number, namespace in enumerate(("planner", "other", "planner")):
        await cache.set(key(number, namespace), PIECE, ttl_s=100.0)
        await clock.advance(1.0)
    assert cache.statistics().oldest_s == 3.0
    await cache.set(key(0), PIECE, ttl_s=100.0)
    assert cache.statistics().oldest_s == 2.0
    await cache.clear("other")
    assert cache.statistics().oldest_s == 1.0
