"""Several processes share a file, split, die in the middle of a write, or run out of disk, and no answer is wrong."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from support.disk_cache import Disk, fill, fill_and_close, key, value
from support.forking import is_true_in_child

NOBODY = 65534
WORDS = tuple(f"word {number}" for number in range(20))


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "cache.db")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    yield folder
    folder.chmod(0o700)
    shutil.rmtree(folder)


def as_nobody() -> None:
    if os.geteuid() == 0:
        os.setuid(NOBODY)


def given_away(path: Path, mode: int) -> None:
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    path.chmod(mode)


def child_of(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def leave_after(work: Callable[[], Coroutine[object, object, bool]]) -> None:
    os._exit(0 if asyncio.run(work()) else 1)


def answer(word: str, number: int) -> bytes:
    return f"{word}={number};".encode() * random.randrange(1, 400)


def is_right(word: str, found: bytes | None) -> bool:
    if found is None:
        return True
    piece = found[: found.index(b";") + 1]
    return piece.startswith(f"{word}=".encode()) and found == piece * (len(found) // len(piece))


async def use(disk: Disk, rounds: int, seed: int) -> bool:
    rng, cache, right = random.Random(seed), disk.cache(), True
    for number in range(rounds):
        word = rng.choice(WORDS)
        right = right and is_right(word, await value(cache, word))
        await cache.set(key(word), answer(word, number), ttl_s=60)
        if rng.random() < 0.05:
            await cache.clear(rng.choice([None, "planner"]))
        if rng.random() < 0.05:
            await cache.sweep()
    await cache.aclose()
    return right


@pytest.mark.parametrize("rounds", [150, pytest.param(3000, marks=pytest.mark.full)])
def test_processes_that_read_and_write_the_same_keys_never_get_a_wrong_value(disk: Disk, rounds: int) -> None:
    children = [child_of(partial(leave_after, partial(use, disk, rounds, seed))) for seed in (1, 2)]
    assert asyncio.run(use(disk, rounds, 3))
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]


def test_what_one_process_purged_no_other_returns(disk: Disk) -> None:
    cache = disk.cache()
    asyncio.run(fill(cache, "a", "b"))

    async def purge(namespace: str | None) -> bool:
        mine = disk.cache()
        await mine.clear(namespace)
        await mine.aclose()
        return True

    assert is_true_in_child(lambda: asyncio.run(purge("planner")))
    assert asyncio.run(value(cache, "a")) is None
    asyncio.run(fill(cache, "a"))
    assert is_true_in_child(lambda: asyncio.run(purge(None)))
    assert asyncio.run(value(cache, "a")) is None
    asyncio.run(cache.aclose())


@pytest.mark.parametrize("kills", [10, pytest.param(300, marks=pytest.mark.full)])
def test_a_process_that_is_killed_in_mid_write_leaves_only_right_values(disk: Disk, kills: int) -> None:
    disk.size_bytes = 200_000
    found = 0
    for turn in range(kills):
        reading, writing = os.pipe()
        child = child_of(partial(leave_after, partial(write_for_ever, disk, writing)))
        os.close(writing)
        # It writes to the pipe after every twenty entries.
        for _ in range(random.randrange(1, 8)):
            os.read(reading, 1)
        threading.Event().wait(random.uniform(0, 0.005))
        os.kill(child, signal.SIGKILL)
        os.close(reading)
        os.waitpid(child, 0)
        found += asyncio.run(survivors(disk, turn))
    assert found > kills


async def write_for_ever(disk: Disk, writing: int) -> bool:
    cache = disk.cache()
    for number in range(10**6):
        writes = (cache.set(key(word), answer(word, number), ttl_s=60) for word in WORDS)
        await asyncio.gather(*writes)
        os.write(writing, b".")
    return True


async def survivors(disk: Disk, turn: int) -> int:
    cache = disk.cache()
    values = [(word, await value(cache, word)) for word in WORDS]
    assert all(is_right(word, each) for word, each in values)
    await cache.set(key("mine"), b"%d" % turn, ttl_s=60)
    assert await value(cache, "mine") == b"%d" % turn
    assert cache.statistics().errors == 0
    await cache.aclose()
    return sum(each is not None for _, each in values)


def test_parent_and_child_of_a_fork_both_go_on(disk: Disk) -> None:
    cache = disk.cache()
    asyncio.run(fill(cache, "a"))

    async def in_child() -> bool:
        was_there = await value(cache, "a") == b"a"
        await fill(cache, "b")
        is_there = await value(cache, "b") == b"b"
        limit = cache.statistics().limit_bytes
        await cache.aclose()
        return was_there and is_there and limit == disk.size_bytes

    assert is_true_in_child(lambda: asyncio.run(in_child()))
    assert [asyncio.run(value(cache, word)) for word in "ab"] == [b"a", b"b"]
    asyncio.run(fill(cache, "c"))
    asyncio.run(cache.aclose())
    again = disk.cache()
    assert [asyncio.run(value(again, word)) for word in "abc"] == [b"a", b"b", b"c"]
    asyncio.run(again.aclose())


def test_what_could_not_be_deleted_is_not_returned_by_a_child_either(disk: Disk) -> None:
    cache = disk.cache()
    asyncio.run(fill(cache, "a", "b"))
    with disk.locked():
        asyncio.run(cache.invalidate(key("a")))
        assert is_true_in_child(lambda: asyncio.run(value(cache, "a")) is None)
        assert is_true_in_child(lambda: asyncio.run(value(cache, "b")) == b"b")
    asyncio.run(cache.aclose())


def test_a_fork_in_the_middle_of_many_writes_harms_neither(disk: Disk) -> None:
    cache = disk.cache()

    async def busy() -> None:
        for number in range(30):
            await asyncio.gather(*(cache.set(key(word), answer(word, number), ttl_s=60) for word in WORDS))

    async def is_fine() -> bool:
        values = [(word, await value(cache, word)) for word in WORDS]
        await fill(cache, "child")
        # The other process may have kept the file busy for longer than anybody waits.
        is_there = await value(cache, "child") in {b"child", None}
        return is_there and all(is_right(word, each) for word, each in values)

    worker = threading.Thread(target=lambda: asyncio.run(busy()))
    worker.start()
    for _ in range(3):
        assert is_true_in_child(lambda: asyncio.run(is_fine()))
    worker.join()
    assert asyncio.run(is_fine())
    asyncio.run(cache.aclose())


def test_a_fork_waits_for_a_disk_that_hangs_only_so_long(disk: Disk) -> None:
    cache = disk.cache()
    asyncio.run(fill(cache, "a"))

    def in_child() -> bool:
        disk.goes_on.set()
        return asyncio.run(value(cache, "a")) == b"a"

    with disk.hanging():
        loop = asyncio.new_event_loop()
        pending = loop.create_task(value(cache, "a"))
        loop.run_until_complete(asyncio.sleep(0.02))
        assert is_true_in_child(in_child)
    assert loop.run_until_complete(pending) == b"a"
    loop.close()
    assert asyncio.run(value(cache, "a")) == b"a"
    asyncio.run(cache.aclose())


def test_a_full_disk_is_a_miss_and_what_was_there_stays(disk: Disk) -> None:
    asyncio.run(fill_and_close(disk, "a"))

    async def fill_up() -> bool:
        cache = disk.cache()
        await fill(cache, "b")
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
        for number in range(40):
            await cache.set(key(str(number)), bytes(30_000), ttl_s=60)
        await cache.set(key("a"), b"new", ttl_s=60)
        failed = cache.statistics().errors > 0 and await value(cache, "a") in {None, b"new"}
        await cache.clear("planner")
        purged = await value(cache, "b") is None
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        disk.let_pass(5)
        await fill(cache, "c")
        works = [await value(cache, word) for word in "abc"] == [None, None, b"c"]
        await cache.aclose()
        return failed and purged and works

    assert is_true_in_child(lambda: asyncio.run(fill_up()))


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_can_only_be_read_is_a_miss(open_folder: Path, what: str) -> None:
    disk = Disk(open_folder / "cache.db")
    if what == "file":
        asyncio.run(fill_and_close(disk, "a"))
        given_away(disk.path, 0o400)
    given_away(open_folder, 0o500 if what == "folder" else 0o700)

    def in_child() -> bool:
        as_nobody()
        return asyncio.run(is_off())

    async def is_off() -> bool:
        cache = disk.cache()
        await fill(cache, "b")
        nothing = [await value(cache, word) for word in "ab"] == [None, None]
        await cache.clear()
        await cache.aclose()
        return nothing and cache.statistics().errors > 0

    assert is_true_in_child(in_child)


def test_a_second_process_is_not_kept_out(disk: Disk) -> None:
    cache = disk.cache()
    asyncio.run(fill(cache, "a"))

    async def look() -> bool:
        mine = disk.cache()
        found = await value(mine, "a")
        with suppress(TimeoutError):
            await asyncio.wait_for(mine.aclose(), 5)
        return found == b"a"

    assert is_true_in_child(lambda: asyncio.run(look()))
    assert asyncio.run(value(cache, "a")) == b"a"
    asyncio.run(cache.aclose())


async def test_two_caches_of_one_process_keep_their_locks_on_one_file(disk: Disk) -> None:
    async def leave() -> bool:
        last = disk.cache()
        await fill(last, "b")
        await last.aclose()
        return True

    waiting, going = os.pipe()

    def go() -> None:
        os.read(waiting, 1)
        leave_after(leave)

    # Before anything is open, since a fork closes it.
    child = child_of(go)
    cache, other = disk.cache(), disk.cache()
    await fill(cache, "a")
    assert await value(other, "a") == b"a"
    await other.aclose()
    os.write(going, b"!")
    await asyncio.to_thread(os.waitpid, child, 0)
    # SQLite deletes the log when the last one goes, and a process that lost its locks is nobody.
    assert disk.beside("-wal").exists()
    await fill(cache, "c")
    late = disk.cache()
    assert [await value(late, word) for word in "abc"] == [b"a", b"b", b"c"]
    await late.aclose()
    await cache.aclose()
    os.close(waiting)
    os.close(going)
