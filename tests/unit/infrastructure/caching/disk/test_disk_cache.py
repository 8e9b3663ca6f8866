"""The disk level keeps what it is told, for its owner only, within its bytes, for any thread and loop."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import os
import stat
import threading
import weakref
from pathlib import Path

import pytest

from loomwire.domain.caching.policies import DiskLevel
from loomwire.infrastructure.caching.disk.schema import footprint
from loomwire.infrastructure.caching.disk.thread import MOST_WAITING, MOST_WAITING_BYTES
from support.disk_cache import Disk, fill, fill_and_close, key, value


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "cache.db")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_the_file_and_all_beside_it_are_their_owners_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        disk = Disk(tmp_path / "deep" / "folder" / "cache.db")
        cache = disk.cache()
        await fill(cache, "a")
        assert [mode(path) for path in (disk.path, disk.beside("-wal"), disk.beside("-shm"))] == [0o600] * 3
        assert mode(disk.path.parent) == 0o700
        await cache.aclose()
    finally:
        os.umask(old)


async def test_a_file_that_others_could_read_is_closed_to_them(disk: Disk) -> None:
    await fill_and_close(disk, "a")
    disk.path.chmod(0o644)
    cache = disk.cache()
    assert await value(cache, "a") == b"a"
    assert mode(disk.path) == 0o600
    await cache.aclose()


async def test_nothing_is_opened_before_the_first_look(disk: Disk) -> None:
    cache = disk.cache()
    statistics = cache.statistics()
    assert (statistics.entries, statistics.size_bytes, statistics.oldest_s) == (None, None, None)
    await cache.aclose()
    assert not disk.path.exists()


async def test_entries_and_their_hits_survive_the_process(disk: Disk) -> None:
    cache = disk.cache()
    await fill(cache, "a")
    await value(cache, "a")
    await cache.aclose()
    disk.let_pass(10)
    cache = disk.cache()
    entry = await cache.get(key("a"))
    assert entry is not None
    assert (entry.value, entry.age_s, entry.hits, entry.level) == (b"a", 10.0, 2, "disk")
    assert cache.statistics().oldest_s == 10.0
    await cache.aclose()


async def test_what_was_used_least_recently_makes_room_also_after_a_restart(disk: Disk) -> None:
    each = footprint(len(b"a") + 80, len("planner"))
    disk.size_bytes = 3 * each
    cache = disk.cache()
    for word in "abc":
        await fill(cache, word)
        disk.let_pass(0.001)
    assert await value(cache, "a") == b"a"
    await cache.aclose()
    cache = disk.cache()
    await fill(cache, "d")
    assert [await value(cache, word) for word in "abcd"] == [b"a", None, b"c", b"d"]
    assert cache.statistics().evictions == 1
    await cache.aclose()


async def test_what_is_over_makes_room_first(disk: Disk) -> None:
    disk.size_bytes = 3 * footprint(1 + 80, len("planner"))
    cache = disk.cache()
    await fill(cache, "a", "b")
    await fill(cache, "c", ttl_s=1)
    disk.let_pass(2)
    await fill(cache, "d")
    assert [await value(cache, word) for word in "abcd"] == [b"a", b"b", None, b"d"]
    statistics = cache.statistics()
    assert (statistics.evictions, statistics.expired, statistics.entries) == (0, 1, 3)
    await cache.aclose()


@pytest.mark.parametrize("length", [10, 2048, 5000, 8000, 9000, 100_000])
async def test_the_file_is_about_as_long_as_its_entries_are_said_to_be(disk: Disk, length: int) -> None:
    disk.size_bytes = 2_000_000
    cache = disk.cache()
    for number in range(min(1200, 4_000_000 // length)):
        await cache.set(key(str(number)), bytes(length), ttl_s=60)
    await cache.sweep()
    said = cache.statistics().size_bytes
    assert said is not None
    assert said <= 2_000_000
    assert disk.path.stat().st_size <= 1.15 * said + 100_000
    await cache.aclose()


async def test_the_file_shrinks_when_its_entries_are_over(disk: Disk) -> None:
    cache = disk.cache()
    for number in range(300):
        await cache.set(key(str(number)), bytes(2000), ttl_s=1)
    disk.let_pass(2)
    assert await cache.sweep() == 300
    assert disk.path.stat().st_size <= 131_072
    assert disk.beside("-wal").stat().st_size == 0
    assert cache.statistics().expired == 300
    await cache.aclose()


async def test_what_was_purged_cannot_be_read_in_the_file(disk: Disk) -> None:
    cache = disk.cache()
    await cache.set(key("a"), b"nobody may read this", ttl_s=60)
    await cache.set(key("b"), b"but this" * 2000, ttl_s=60)
    await cache.clear("planner")
    await cache.set(key("c"), b"later", ttl_s=60)
    for path in disk.path.parent.iterdir():
        content = path.read_bytes()
        assert b"nobody may read" not in content
        assert b"but this" not in content
    await cache.aclose()


async def test_a_large_namespace_is_purged_in_steps_and_others_are_spared(disk: Disk) -> None:
    cache = disk.cache()
    await asyncio.gather(*(cache.set(key(str(number)), b"1", ttl_s=60) for number in range(700)))
    await cache.set(key("a", "other"), b"a", ttl_s=60)
    purged = asyncio.ensure_future(cache.clear("planner"))
    looks = [value(cache, "a", "other") for _ in range(5)]
    assert await asyncio.gather(*looks) == [b"a"] * 5
    await purged
    assert await value(cache, "1") is None
    assert cache.statistics().entries == 1
    await cache.aclose()


async def test_all_that_was_asked_for_is_done_before_it_closes(disk: Disk) -> None:
    cache = disk.cache()
    words = [str(number) for number in range(300)]
    writes = asyncio.gather(*(cache.set(key(word), word.encode(), ttl_s=60) for word in words))
    purge = asyncio.ensure_future(cache.clear("other"))
    await asyncio.sleep(0)
    await asyncio.gather(cache.aclose(), cache.aclose())
    await asyncio.gather(writes, purge)
    cache = disk.cache()
    for word in words:
        assert await value(cache, word) == word.encode()
    await cache.aclose()


async def test_a_purge_that_is_not_over_is_finished_before_it_closes(disk: Disk) -> None:
    cache = disk.cache()
    await asyncio.gather(*(cache.set(key(str(number)), b"1", ttl_s=60) for number in range(1000)))
    purge = asyncio.ensure_future(cache.clear("planner"))
    await asyncio.sleep(0)
    await cache.aclose()
    await purge
    assert disk.sql("SELECT count(*) FROM fact") == [(0,)]


@pytest.mark.parametrize("lifetimes", [(0.0, 1.0), (-1.0, 0.0), (math.nan, 0.0), (math.inf, 0.0), (1.0, -1.0)])
async def test_a_lifetime_that_is_none_keeps_nothing_and_drops_what_was_there(
    disk: Disk, lifetimes: tuple[float, float]
) -> None:
    cache = disk.cache()
    await fill(cache, "a", "b")
    await cache.set(key("a"), b"new", ttl_s=lifetimes[0], keep_s=lifetimes[1])
    assert [await value(cache, word) for word in "ab"] == [None, b"b"]
    assert cache.statistics().refused == 1
    await cache.aclose()


async def test_another_size_is_taken_with_the_next_write(disk: Disk) -> None:
    cache = disk.cache()
    await asyncio.gather(*(cache.set(key(str(number)), bytes(1000), ttl_s=60) for number in range(50)))
    cache.adapt(DiskLevel("elsewhere", 20_000))
    await fill(cache, "a")
    statistics = cache.statistics()
    assert statistics.limit_bytes == 20_000
    assert statistics.size_bytes is not None
    assert 0 < statistics.size_bytes <= 20_000
    await cache.aclose()


async def test_looks_write_nothing_until_it_is_quiet(disk: Disk) -> None:
    cache = disk.cache()
    await fill(cache, "a")
    for _ in range(3):
        await value(cache, "a")
    assert disk.sql("SELECT hits FROM fact") == [(0,)]
    until = asyncio.get_running_loop().time() + 5
    while disk.sql("SELECT hits FROM fact") != [(3,)]:
        assert asyncio.get_running_loop().time() < until
        await asyncio.sleep(0.05)
    await cache.aclose()


async def test_many_looks_are_written_at_once(disk: Disk) -> None:
    cache = disk.cache()
    await asyncio.gather(*(cache.set(key(str(number)), b"1", ttl_s=60) for number in range(400)))
    await asyncio.gather(*(cache.get(key(str(number))) for number in range(400)))
    assert (await cache.entries(limit=1))[0].hits == 1
    await asyncio.gather(*(cache.get(key(str(number))) for number in range(400)))
    await cache.get(key("1"))
    assert disk.sql("SELECT max(hits) FROM fact") == [(2,)]
    await cache.aclose()


async def test_a_disk_that_hangs_costs_no_memory_and_nothing_old_comes_back(disk: Disk) -> None:
    cache = disk.cache()
    await fill(cache, "a", "b")
    with disk.hanging():
        tasks = [asyncio.ensure_future(cache.get(key("b"))) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        assert await value(cache, "b") is None
        kept = asyncio.ensure_future(cache.set(key("a"), b"new", ttl_s=60))
        await asyncio.sleep(0)
        assert cache.statistics().refused == 1
        for task in tasks:
            task.cancel()
    await kept
    assert [await value(cache, word) for word in "ab"] == [None, b"b"]
    await cache.aclose()


async def test_bytes_that_wait_are_bounded_too(disk: Disk) -> None:
    disk.size_bytes = 1 << 30
    cache = disk.cache()
    large = bytes(MOST_WAITING_BYTES // 2)
    with disk.hanging():
        writes = [asyncio.ensure_future(cache.set(key(word), large, ttl_s=60)) for word in "abc"]
        await asyncio.sleep(0)
        assert cache.statistics().refused == 1
        for write in writes:
            write.cancel()
    await cache.aclose()


async def test_what_could_not_even_be_remembered_means_everything(disk: Disk) -> None:
    cache = disk.cache()
    await fill(cache, "a")
    with disk.hanging():
        tasks = [asyncio.ensure_future(cache.invalidate(key("x"))) for _ in range(5 * MOST_WAITING)]
        await asyncio.sleep(0)
        await fill(cache, "b")
        assert await cache.entries() == ()
        for task in tasks:
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    until = asyncio.get_running_loop().time() + 20
    while cache.statistics().entries != 0:
        await cache.invalidate(key("x"))
        await asyncio.sleep(0)
        assert asyncio.get_running_loop().time() < until
    assert await value(cache, "a") is None
    await fill(cache, "a")
    assert await value(cache, "a") == b"a"
    await cache.aclose()


def test_a_loop_that_died_with_a_pending_look_harms_nobody(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "asyncio")
    cache = disk.cache()
    asyncio.run(fill(cache, "a"))
    loop = asyncio.new_event_loop()
    with disk.hanging():
        pending = loop.create_task(cache.get(key("a")))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    assert asyncio.run(value(cache, "a")) == b"a"
    asyncio.run(cache.aclose())
    assert not pending.done()


async def test_a_cache_that_nobody_closed_leaves_no_thread(disk: Disk) -> None:
    def ours() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "loomwire-disk-cache"]

    before = ours()
    cache = disk.cache()
    await fill(cache, "a")
    (thread,) = (each for each in ours() if each not in before)
    gone = weakref.ref(cache)
    del cache
    gc.collect()
    assert gone() is None
    until = asyncio.get_running_loop().time() + 5
    while thread.is_alive():
        assert asyncio.get_running_loop().time() < until
        await asyncio.sleep(0.01)
    cache = disk.cache()
    assert await value(cache, "a") == b"a"
    await cache.aclose()
