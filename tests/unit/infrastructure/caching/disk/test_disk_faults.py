"""Whatever happens to the file, an answer is the right one or a miss, and the operator is told once."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
from pathlib import Path

import pytest

from loomwire.infrastructure.caching.disk.room import FAILED_S, REFUSED_S, DiskRoom
from loomwire.infrastructure.caching.disk.tally import DiskTally
from loomwire.infrastructure.caching.disk.troubles import CALM_S
from support.disk_cache import Disk, fill, fill_and_close, key, value

WORDS = tuple(f"word {number}" for number in range(100))


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "cache.db")


async def test_an_entry_that_does_not_fit_its_checksum_is_dropped_and_told_once(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    await fill_and_close(disk, "a", "b", "c")
    disk.sql("UPDATE body SET sealed = x'00' || sealed WHERE id < 3")
    cache = disk.cache()
    assert [await value(cache, word) for word in "abc"] == [None, None, b"c"]
    assert cache.statistics().errors == 2
    assert caplog.text.count("an entry is damaged") == 1
    await cache.aclose()
    assert disk.sql("SELECT count(*) FROM body") == [(1,)]


async def test_an_entry_that_was_moved_to_another_key_or_namespace_is_a_miss(disk: Disk) -> None:
    await fill_and_close(disk, "a", "b", "c")
    disk.sql(
        "UPDATE body SET sealed = (SELECT sealed FROM body WHERE id = 2) WHERE id = 1",
        "UPDATE fact SET namespace = CAST('other' AS BLOB) WHERE id = 3",
    )
    cache = disk.cache()
    assert [await value(cache, word) for word in "abc"] == [None, b"b", None]
    assert await value(cache, "c", "other") is None
    await cache.aclose()


async def test_a_row_of_other_types_is_a_miss(disk: Disk) -> None:
    await fill_and_close(disk, "a", "b")
    disk.sql("UPDATE body SET sealed = 'text' WHERE id = 1", "UPDATE fact SET hits = 'many' WHERE id = 2")
    cache = disk.cache()
    assert [await value(cache, word) for word in "ab"] == [None, None]
    await fill(cache, "a")
    assert await value(cache, "a") == b"a"
    await cache.aclose()


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
async def test_a_file_that_was_cut_is_set_aside_and_begun_anew(disk: Disk, share: float) -> None:
    await fill_and_close(disk, *WORDS)
    os.truncate(disk.path, int(disk.path.stat().st_size * share))
    cache = disk.cache()
    for word in WORDS:
        assert await value(cache, word) in {None, word.encode()}
    disk.let_pass(FAILED_S + 1)
    await fill(cache, "new")
    disk.let_pass(FAILED_S + 1)
    await fill(cache, "new")
    assert await value(cache, "new") == b"new"
    await cache.aclose()


async def test_a_damaged_file_is_told_once_and_kept_beside(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    await fill_and_close(disk, *WORDS)
    os.truncate(disk.path, 8192)
    cache = disk.cache()
    assert await value(cache, "word 1") is None
    assert caplog.text.count("it is damaged") == 1
    assert disk.beside(".damaged").stat().st_size == 8192
    await fill(cache, "new")
    assert await value(cache, "new") == b"new"
    assert cache.statistics().errors == 1
    await cache.aclose()


@pytest.mark.parametrize("seed", [*range(12), *(pytest.param(seed, marks=pytest.mark.full) for seed in range(12, 500))])
async def test_no_overwritten_bytes_ever_give_a_wrong_answer(disk: Disk, seed: int) -> None:
    await fill_and_close(disk, *WORDS)
    rng = random.Random(seed)
    size = disk.path.stat().st_size
    with disk.path.open("r+b") as file:
        for _ in range(rng.choice([1, 5, 40])):
            file.seek(rng.randrange(100, size))
            file.write(rng.randbytes(rng.choice([1, 16, 500])))
    cache = disk.cache()
    for word in WORDS:
        assert await value(cache, word) in {None, word.encode()}
        await cache.set(key(word, "other"), word.encode(), ttl_s=5)
        assert await value(cache, word, "other") in {None, word.encode()}
    await cache.entries()
    await cache.sweep()
    await cache.clear("other")
    await cache.clear()
    disk.let_pass(FAILED_S + 1)
    await fill(cache, "new")
    assert await value(cache, "new") == b"new"
    await cache.aclose()


async def test_a_file_cut_while_it_is_open_gives_no_wrong_answer(disk: Disk) -> None:
    cache = disk.cache()
    await fill(cache, *WORDS)
    await cache.sweep()
    os.truncate(disk.path, 20_000)
    for word in WORDS:
        assert await value(cache, word) in {None, word.encode()}
    for _ in range(3):
        disk.let_pass(FAILED_S + 1)
        await fill(cache, "new")
    assert await value(cache, "new") == b"new"
    await cache.aclose()


@pytest.mark.parametrize("content", [b"My own notes.\n", b"SQLite format 3\x00", b"\x00" * 9000])
async def test_a_file_that_is_not_ours_is_left_as_it_is(
    disk: Disk, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    disk.path.write_bytes(content)
    cache = disk.cache()
    for _ in range(3):
        await fill(cache, "a")
        assert await value(cache, "a") is None
        disk.let_pass(REFUSED_S + 1)
    await cache.clear()
    assert caplog.text.count("it is no cache of loomwire") == 1
    assert str(disk.path) in caplog.text
    assert cache.statistics().refused == 3
    assert cache.statistics().resting_s > 0
    await cache.aclose()
    assert disk.path.read_bytes() == content
    assert [*disk.path.parent.iterdir()] == [disk.path]


async def test_a_database_of_somebody_else_is_left_as_it_is(disk: Disk) -> None:
    disk.sql("CREATE TABLE mine (x)", "INSERT INTO mine VALUES (1)")
    before = disk.path.read_bytes()
    cache = disk.cache()
    await fill(cache, "a")
    await cache.clear()
    await cache.aclose()
    assert disk.path.read_bytes() == before


async def test_a_file_of_a_newer_version_is_left_as_it_is(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    await fill_and_close(disk, "a")
    disk.sql("PRAGMA user_version = 2")
    before = disk.path.read_bytes()
    cache = disk.cache()
    assert await value(cache, "a") is None
    assert "newer version" in caplog.text
    await cache.aclose()
    assert disk.path.read_bytes() == before


async def test_a_file_of_an_older_version_is_set_aside(disk: Disk) -> None:
    await fill_and_close(disk, "a")
    disk.sql("PRAGMA user_version = 0")
    cache = disk.cache()
    assert await value(cache, "a") is None
    await fill(cache, "a")
    assert await value(cache, "a") == b"a"
    await cache.aclose()
    assert disk.beside(".damaged").exists()


@pytest.mark.parametrize(
    "trick",
    [
        "CREATE TRIGGER t AFTER INSERT ON fact BEGIN DELETE FROM fact; END",
        "CREATE VIEW v AS SELECT load_extension('/tmp/x.so')",
        "CREATE TABLE more (x DEFAULT (randomblob(9)))",
        "CREATE INDEX i ON fact (hits)",
        "DELETE FROM total",
    ],
)
async def test_a_schema_with_something_added_is_never_used(disk: Disk, trick: str) -> None:
    await fill_and_close(disk, "a")
    disk.sql(trick)
    cache = disk.cache()
    await fill(cache, "b", "c")
    assert [await value(cache, word) for word in "abc"] == [None, b"b", b"c"]
    await cache.aclose()
    assert disk.beside(".damaged").exists()


async def test_totals_that_lie_are_found_out(disk: Disk) -> None:
    await fill_and_close(disk, "a")
    disk.sql(f"UPDATE total SET bytes = {1 << 40}")
    cache = disk.cache()
    await fill(cache, "b")
    await fill(cache, "c")
    assert await value(cache, "c") == b"c"
    await cache.aclose()


async def test_an_empty_file_is_taken(disk: Disk) -> None:
    disk.path.touch()
    await fill_and_close(disk, "a")
    cache = disk.cache()
    assert await value(cache, "a") == b"a"
    await cache.aclose()


async def test_what_is_no_file_or_another_users_is_left_alone(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    disk.path.mkdir()
    cache = disk.cache()
    await fill(cache, "a")
    assert "no regular file" in caplog.text
    await cache.aclose()
    other = Disk(disk.path.parent / "other.db")
    if os.geteuid() == 0:
        await fill_and_close(other, "a")
        os.chown(other.path, 65534, 65534)
    else:
        other.path = Path("/etc/passwd")
    cache = other.cache()
    assert await value(cache, "a") is None
    assert "another user" in caplog.text
    await cache.aclose()


async def test_a_pipe_in_its_place_hangs_nobody_who_clears(disk: Disk) -> None:
    os.mkfifo(disk.path)
    cache = disk.cache()
    await fill(cache, "a")
    await cache.clear()
    assert await value(cache, "a") is None
    await cache.aclose()
    assert disk.path.is_fifo()


async def test_a_file_that_is_deleted_while_open_is_made_again(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "loomwire.cache")
    cache = disk.cache()
    await fill(cache, "a")
    disk.path.unlink()
    assert await value(cache, "a") is None
    await fill(cache, "b")
    assert await value(cache, "b") == b"b"
    assert caplog.text.count("removed or replaced") == 1
    await cache.aclose()
    cache = disk.cache()
    assert await value(cache, "b") == b"b"
    await cache.aclose()


async def test_a_log_that_outlived_its_file_is_never_replayed(disk: Disk) -> None:
    cache = disk.cache()
    await fill(cache, "a")
    log = disk.beside("-wal").read_bytes()
    await cache.aclose()
    disk.path.unlink()
    disk.beside("-wal").write_bytes(log)
    cache = disk.cache()
    assert await value(cache, "a") is None
    await cache.aclose()


async def test_a_journal_beside_the_file_is_never_replayed(disk: Disk) -> None:
    await fill_and_close(disk, "a")
    disk.beside("-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(1000))
    cache = disk.cache()
    assert await value(cache, "a") == b"a"
    await cache.aclose()
    assert not disk.beside("-journal").exists()


async def test_a_clock_that_goes_back_drops_everything_once(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    cache = disk.cache()
    await fill(cache, "a")
    disk.let_pass(50)
    disk.wall -= 45
    assert await value(cache, "a") is None
    await fill(cache, "b")
    disk.let_pass(30)
    assert await value(cache, "b") == b"b"
    assert caplog.text.count("the clock went back") == 1
    await cache.aclose()


async def test_a_clock_that_went_back_between_two_processes_drops_everything(disk: Disk) -> None:
    await fill_and_close(disk, "a")
    disk.wall -= 10
    cache = disk.cache()
    assert await value(cache, "a") is None
    await fill(cache, "b")
    assert await value(cache, "b") == b"b"
    await cache.aclose()


async def test_an_entry_from_the_future_drops_everything(disk: Disk) -> None:
    early, late = disk.cache(), Disk(disk.path)
    await fill(early, "a")
    late.wall += 100
    ahead = late.cache()
    await fill(ahead, "b")
    assert await value(early, "b") is None
    assert await value(early, "a") is None
    assert await value(ahead, "b") is None
    await early.aclose()
    await ahead.aclose()


async def test_a_clock_that_jumps_ahead_is_a_miss(disk: Disk) -> None:
    cache = disk.cache()
    await fill(cache, "a")
    disk.wall += 3600
    assert await value(cache, "a") is None
    await fill(cache, "a")
    assert await value(cache, "a") == b"a"
    await cache.aclose()


async def test_a_write_while_another_process_writes_is_a_miss_and_never_the_value_before(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "loomwire.cache")
    cache = disk.cache()
    await fill(cache, "a", "b", "c")
    with disk.locked():
        assert await value(cache, "a") == b"a"
        await cache.set(key("a"), b"new", ttl_s=60)
        assert not await cache.invalidate(key("b"))
        assert [await value(cache, word) for word in "abc"] == [None, None, b"c"]
        await cache.clear("planner")
        assert await value(cache, "c") is None
        assert await cache.sweep() == 0
    assert [await value(cache, word) for word in "abc"] == [None, None, None]
    await fill(cache, "d")
    assert disk.sql("SELECT count(*) FROM fact") == [(1,)]
    assert caplog.text.count("another process keeps it busy") == 1
    disk.let_pass(CALM_S + 1)
    assert await value(cache, "a") is None
    assert caplog.text.count("over: another process") == 1
    await cache.aclose()


async def test_everything_can_be_cleared_while_another_process_writes(disk: Disk) -> None:
    cache = disk.cache()
    await fill(cache, "a")
    with disk.locked():
        await cache.clear()
        assert await value(cache, "a") is None
    await cache.aclose()
    cache = disk.cache()
    assert await value(cache, "a") is None
    await cache.aclose()


async def test_what_could_not_be_deleted_until_the_end_goes_with_the_file(disk: Disk) -> None:
    cache = disk.cache()
    await fill(cache, "a", "b")
    with disk.locked():
        await cache.invalidate(key("a"))
        await cache.aclose()
        assert not disk.path.exists()


async def test_too_much_to_remember_means_everything(disk: Disk) -> None:
    cache = disk.cache()
    await fill(cache, "a")
    with disk.locked():
        await asyncio.gather(*(cache.invalidate(key(str(number))) for number in range(1100)))
        assert await value(cache, "a") is None
    assert cache.statistics().entries == 0
    await cache.aclose()


async def test_a_folder_that_another_process_holds_is_a_miss(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    handle = os.open(disk.path.parent, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    cache = disk.cache()
    await fill(cache, "a")
    assert await value(cache, "a") is None
    assert caplog.text.count("cannot be used") == 1
    os.close(handle)
    disk.let_pass(FAILED_S + 1)
    await fill(cache, "a")
    assert await value(cache, "a") == b"a"
    await cache.aclose()


async def test_a_folder_that_cannot_be_made_is_a_miss(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    disk = Disk(tmp_path / "file" / "cache.db")
    cache = disk.cache()
    await fill(cache, "a")
    assert await value(cache, "a") is None
    await cache.clear()
    assert await value(cache, "a") is None
    assert caplog.text.count("cannot be used") == 1
    await cache.aclose()


async def test_a_quiet_moment_that_is_none_costs_nothing(disk: Disk) -> None:
    cache = disk.cache()
    await fill(cache, "a")
    assert cache.trouble == ""
    assert await value(cache, "a") == b"a"
    until = asyncio.get_running_loop().time() + 5
    with disk.locked():
        while "busy" not in cache.trouble:
            assert asyncio.get_running_loop().time() < until
            await asyncio.sleep(0.05)
        assert await value(cache, "a") == b"a"
    assert cache.failures == 0
    await cache.aclose()
    assert disk.sql("SELECT hits FROM fact") == [(2,)]


def test_a_file_that_is_gone_in_a_quiet_moment_is_let_go(disk: Disk) -> None:
    room = DiskRoom(disk.path, DiskTally(1 << 20), lambda: disk.mono, lambda: disk.wall)
    room.serve([])
    room.debts.add("planner")
    before = room.is_restless
    disk.path.unlink()
    room.rest()
    assert (before, room.is_restless) == (True, False)
    room.close()


async def test_a_process_that_was_stopped_between_two_looks_at_the_clock_drops_nothing(disk: Disk) -> None:
    cache = disk.cache()
    await fill(cache, "a")
    disk.stops_for = 5.0
    assert await value(cache, "a") == b"a"
    disk.stops_for = 0.0
    assert await value(cache, "a") == b"a"
    await cache.aclose()


async def test_an_error_that_nobody_foresaw_is_a_miss_too(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    cache = disk.cache()
    await fill(cache, "a", "b")
    disk.wall = 1e300
    await cache.set(key("b"), b"b", ttl_s=1)
    disk.wall = 1e9
    assert await value(cache, "b") is None
    disk.let_pass(FAILED_S + 1)
    await fill(cache, "c")
    assert await value(cache, "c") == b"c"
    assert cache.failures > 0
    await cache.aclose()
