"""Every place is one level, whoever asks for it, and it goes when nobody does."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

from loomwire.domain.caching.entries import CacheKey
from loomwire.domain.caching.policies import DiskLevel, MemoryLevel, RedisLevel
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.domain.values import Secret
from loomwire.infrastructure.caching.memory import MemoryCache
from loomwire.infrastructure.caching.shielded import Shielded
from loomwire.infrastructure.caching.stores import CacheStores
from loomwire.infrastructure.caching.tiered import TieredCache
from support.forking import is_true_in_child

KEY = CacheKey("planner", bytes(32))
NOWHERE = RedisLevel(Secret("redis://127.0.0.1:1/0"))


async def until_closed(level: ICacheStrategy) -> None:
    """Wait until what was kept on a level is gone, which is what closing does."""
    for _ in range(1000):
        if await level.get(KEY) is None:
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it is still open")


async def test_one_level_is_itself_and_several_are_one(tmp_path: Path) -> None:
    stores = CacheStores()
    disk = DiskLevel(str(tmp_path / "cache.db"))
    memory = stores.store((MemoryLevel(),))
    both = stores.store((MemoryLevel(), disk))
    assert isinstance(memory, MemoryCache)
    assert isinstance(both, TieredCache)
    assert stores.store((MemoryLevel(5), disk)) is both
    assert stores.store((MemoryLevel(), MemoryLevel(strategy="lru"))) is memory
    assert not (tmp_path / "cache.db").exists()
    await stores.aclose()


async def test_a_strategy_a_file_and_a_server_with_its_prefix_are_places(tmp_path: Path) -> None:
    stores = CacheStores()
    asked = (
        RedisLevel(NOWHERE.url),
        RedisLevel(NOWHERE.url, "other"),
        DiskLevel(str(tmp_path / "a.db")),
        DiskLevel(f"{tmp_path}//./a.db", timeout_s=1.0),
        DiskLevel(str(tmp_path / "b.db")),
        MemoryLevel(),
        MemoryLevel(strategy="lfu"),
        RedisLevel(NOWHERE.url, timeout_s=1.0),
    )
    opened = [stores.store((level,)) for level in asked]
    levels = stores.levels()
    assert [type(level) for level in levels] == [MemoryCache, MemoryCache, Shielded, Shielded, Shielded, Shielded]
    assert list(levels) == [opened[5], opened[6], opened[2], opened[4], opened[0], opened[1]]
    assert opened[3] is opened[2]
    assert opened[7] is opened[0]
    await stores.aclose()


async def test_the_size_that_was_asked_for_last_holds_and_entries_stay(tmp_path: Path) -> None:
    stores = CacheStores()
    level = stores.store((MemoryLevel(10_000),))
    await level.set(KEY, b"1", ttl_s=10.0)
    disk = stores.store((DiskLevel(str(tmp_path / "a.db"), 10_000),))
    stores.store((MemoryLevel(5_000), DiskLevel(str(tmp_path / "a.db"), 5_000)))
    assert [found.statistics().limit_bytes for found in (level, disk)] == [5_000, 5_000]
    assert await level.get(KEY) is not None
    await stores.aclose()


async def test_what_nobody_wants_any_more_is_closed_behind(tmp_path: Path) -> None:
    stores = CacheStores()
    path = str(tmp_path / "a.db")
    kept, gone = stores.store((MemoryLevel(),)), stores.store((MemoryLevel(strategy="ttl"),))
    disk = stores.store((MemoryLevel(strategy="ttl"), DiskLevel(path), NOWHERE))
    for level in (kept, gone, disk):
        await level.set(KEY, b"1", ttl_s=100.0)
    stores.retain([MemoryLevel(7), DiskLevel(path)])
    assert len(stores.levels()) == 2
    stores.retain([MemoryLevel(7)])
    await until_closed(gone)
    await until_closed(disk)
    assert await kept.get(KEY) is not None
    assert stores.store((MemoryLevel(),)) is kept
    assert stores.store((MemoryLevel(strategy="ttl"),)) is not gone
    stores.retain([MemoryLevel(), MemoryLevel(strategy="ttl"), NOWHERE])
    await stores.aclose()


async def test_closing_waits_for_what_is_being_closed(tmp_path: Path) -> None:
    stores = CacheStores()
    disk = stores.store((DiskLevel(str(tmp_path / "a.db"), timeout_s=5.0),))
    await disk.set(KEY, b"1", ttl_s=100.0)
    stores.retain([])
    await stores.aclose()
    assert [thread.name for thread in threading.enumerate() if thread.name == "loomwire-cache-close"] == []
    assert await disk.get(KEY) is None


async def test_closed_stores_hold_nothing_and_close_again() -> None:
    stores = CacheStores()
    level = stores.store((MemoryLevel(),))
    await level.set(KEY, b"1", ttl_s=100.0)
    await stores.aclose()
    await stores.aclose()
    assert await level.get(KEY) is None
    late = stores.store((MemoryLevel(),))
    await late.set(KEY, b"1", ttl_s=100.0)
    assert await late.get(KEY) is None
    assert stores.levels() == ()


def test_a_child_opens_and_looks_as_its_parent_does() -> None:
    is_held, may_go = threading.Event(), threading.Event()

    def now() -> float:
        """Hold the lock of the stores for a while: a level is just being made."""
        if threading.current_thread() is busy:
            is_held.set()
            may_go.wait(10)
        return 1.0

    def looks() -> bool:
        """Ask for the same again."""
        return stores.store(both) is level and asyncio.run(level.get(KEY)) is not None

    both = MemoryLevel(), MemoryLevel(strategy="lfu")
    stores = CacheStores(now=now)
    busy = threading.Thread(target=lambda: stores.store((MemoryLevel(strategy="ttl"),)))
    level = stores.store(both)
    asyncio.run(level.set(KEY, b"1", ttl_s=10.0))
    busy.start()
    is_held.wait(10)
    assert is_true_in_child(looks)
    may_go.set()
    busy.join()
    assert looks()


def test_opening_the_same_place_from_many_threads_opens_it_once() -> None:
    stores = CacheStores()
    found: list[ICacheStrategy] = []
    start = time.monotonic()

    def ask() -> None:
        found.extend(stores.store((MemoryLevel(), MemoryLevel(strategy="ttl"))) for _ in range(50))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    assert time.monotonic() - start < 10
