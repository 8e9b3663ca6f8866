"""Entries in a Redis server: one trip, never a wrong one, whatever the server does."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from loomwire.domain.caching.entries import CacheKey
from loomwire.domain.caching.policies import RedisLevel
from loomwire.domain.values import Secret
from loomwire.infrastructure.caching import redis_cache
from loomwire.infrastructure.caching.redis_cache import MISSING, RedisCache
from loomwire.infrastructure.caching.shielded import Shielded
from support.fake_redis import NIL, FakeRedis, Reply, fake_redis, many


def key(word: str, namespace: str = "planner") -> CacheKey:
    return CacheKey(namespace, hashlib.sha256(word.encode()).digest())


@pytest.fixture
def server() -> Iterator[FakeRedis]:
    with fake_redis() as fake:
        yield fake


@pytest.fixture
async def cache(server: FakeRedis) -> AsyncIterator[RedisCache]:
    cache = RedisCache(RedisLevel(Secret(server.url)))
    await cache.prepare()
    yield cache
    await cache.aclose()


def clock_off(by_s: float) -> Callable[[], float]:
    """Return a clock that is wrong by so many seconds."""
    return lambda: time.time() + by_s


async def value(cache: RedisCache, word: str = "a") -> bytes | None:
    entry = await cache.get(key(word))
    return None if entry is None else entry.value


async def test_a_look_is_one_trip_and_so_is_the_write_after_it(cache: RedisCache, server: FakeRedis) -> None:
    assert await value(cache) is None
    assert [words[0] for words in server.asked] == [b"MGET", b"SET", b"SET", b"MGET"], "the first look makes the marks"
    server.asked.clear()
    assert await value(cache, "b") is None
    await cache.set(key("b"), b"1", ttl_s=9, keep_s=1)
    assert await value(cache, "b") == b"1"
    assert [words[0] for words in server.asked] == [b"MGET", b"SET", b"MGET"]
    assert server.asked[1][-2:] == (b"PX", b"10000")


async def test_entries_are_listed_by_facts_and_namespace(cache: RedisCache) -> None:
    for word in ("a", "b", "c"):
        await cache.set(key(word), b"v", ttl_s=9)
    await cache.set(key("x", "other"), b"v", ttl_s=9)
    assert {facts.namespace for facts in await cache.entries()} == {"planner", "other"}
    assert [facts.digest for facts in await cache.entries("other")] == [key("x").digest.hex()]
    assert len(await cache.entries(limit=2)) == 2
    await cache.clear("other")
    assert await cache.entries("other") == []


async def test_what_was_asked_for_before_another_process_purged_never_comes_back(
    cache: RedisCache, server: FakeRedis
) -> None:
    other = RedisCache(RedisLevel(Secret(server.url)))
    for purged in ("planner", None):
        assert await value(cache) is None
        await other.clear(purged)
        await cache.set(key("a"), b"from before", ttl_s=9)
        assert await value(cache) is None
        assert await value(other) is None
        await cache.set(key("a"), b"from after", ttl_s=9)
        assert await value(other) == b"from after"
        assert await cache.invalidate(key("a")) is True
    await other.aclose()


async def test_an_evicted_mark_brings_nothing_back(cache: RedisCache, server: FakeRedis) -> None:
    await cache.set(key("a"), b"old", ttl_s=9)
    await cache.clear("planner")
    for name in [name for name in server.data if b":mark" in name]:
        del server.data[name]
    assert await value(cache) is None
    assert await cache.invalidate(key("a")) is False


async def test_the_oldest_looks_are_forgotten_first(cache: RedisCache, server: FakeRedis) -> None:
    await asyncio.gather(*(cache.get(key(str(number))) for number in range(3)))
    for number in range(10_000):
        cache._remember(key(f"more {number}"), bytes(32))
    assert len(cache._looks) == 10_000
    assert key("0") not in cache._looks


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"+PONG\r\n",
        lambda _: b":7\r\n",
        lambda _: many([NIL]),
        lambda _: b"*3\r\n$-1\r\n$-1\r\n",
        lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n",
        lambda _: b"$99999999\r\nabc\r\n",
        lambda right: right[: len(right) // 2],
        lambda right: right + b"+OK\r\n" * 3,
        lambda _: b"-LOADING Redis is loading the dataset in memory\r\n",
        lambda _: b"-NOAUTH Authentication required.\r\n",
        lambda _: b"-READONLY You can't write against a read only replica.\r\n",
        lambda _: b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        lambda _: b"-MOVED 3999 127.0.0.1:6381\r\n",
        lambda _: b"-hunter2-secret was wrong\r\n",
        lambda _: b"",
        lambda _: None,
    ],
)
async def test_whatever_a_server_says_nothing_is_raised_and_nothing_wrong_returned(
    server: FakeRedis, caplog: pytest.LogCaptureFixture, spoil: Callable[[Reply], Reply | None]
) -> None:
    caplog.set_level(logging.DEBUG, "loomwire")
    inner = RedisCache(RedisLevel(Secret(server.url)))
    cache = Shielded(inner, timeout_s=0.05, now=time.monotonic)
    await cache.set(key("a"), b"right", ttl_s=9)
    server.spoil = spoil
    for word in ("a", "b"):
        entry = await cache.get(key(word))
        assert entry is None or (word == "a" and entry.value == b"right")
        await cache.set(key(word), b"new", ttl_s=9)
    server.spoil = None
    fresh = Shielded(inner, timeout_s=5, now=time.monotonic)
    for word, allowed in (("a", {None, b"right", b"new"}), ("b", {None, b"new"})):
        entry = await fresh.get(key(word))
        assert (None if entry is None else entry.value) in allowed
    await fresh.set(key("c"), b"works", ttl_s=9)
    entry = await fresh.get(key("c"))
    assert entry is not None
    assert entry.value == b"works"
    said = repr(cache) + repr(inner) + repr(cache.statistics()) + inner.trouble + caplog.text
    assert "hunter2" not in said
    await fresh.aclose()


async def test_another_entry_under_our_key_is_a_miss(cache: RedisCache, server: FakeRedis) -> None:
    await cache.set(key("a"), b"a", ttl_s=9)
    await cache.set(key("b"), b"b", ttl_s=9)
    names = {name[-64:]: name for name in server.data if b":entry:" in name}
    one, other = (names[key(word).digest.hex().encode()] for word in "ab")
    server.data[one] = server.data[other]
    assert await value(cache) is None
    server.data[one] = [b"a list"]
    assert await value(cache) is None
    assert cache.statistics().errors == 0


async def test_a_mark_of_another_type_is_a_miss(cache: RedisCache, server: FakeRedis) -> None:
    assert await value(cache) is None
    for name in [name for name in server.data if b":mark" in name]:
        server.data[name] = [b"a list"]
    assert await value(cache) is None
    assert (cache.statistics().errors, cache.trouble) == (1, "no mark")
    await cache.clear()
    await cache.clear("planner")
    await cache.set(key("a"), b"healed", ttl_s=9)
    assert await value(cache) == b"healed"


async def test_a_connection_that_was_closed_while_nobody_asked_is_no_failure(
    cache: RedisCache, server: FakeRedis
) -> None:
    await cache.set(key("a"), b"1", ttl_s=9)
    server.hang_up()
    assert await value(cache) == b"1"
    assert (server.connections, cache.statistics().errors) == (2, 0)


async def test_many_looks_at_once_share_one_connection(cache: RedisCache, server: FakeRedis) -> None:
    for number in range(5):
        await cache.set(key(str(number)), b"%d" % number, ttl_s=9)
    found = await asyncio.gather(*(value(cache, str(number % 5)) for number in range(700)))
    assert found == [b"%d" % (number % 5) for number in range(700)]
    assert server.connections == 1


async def test_a_look_that_was_given_up_spoils_no_later_one(cache: RedisCache, server: FakeRedis) -> None:
    await cache.set(key("a"), b"a", ttl_s=9)
    await cache.set(key("b"), b"b", ttl_s=9)
    for turns in range(6):
        task = asyncio.ensure_future(cache.get(key("a")))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        assert await value(cache, "b") == b"b"
    assert server.connections == 1


async def test_a_server_that_is_not_there_is_an_error_counted(caplog: pytest.LogCaptureFixture) -> None:
    cache = RedisCache(RedisLevel(Secret("redis://:hunter2-secret@127.0.0.1:1/0")))
    assert await value(cache) is None
    assert await cache.invalidate(key("a")) is False
    await cache.clear()
    assert await cache.entries() == []
    assert (cache.statistics().errors, cache.trouble) == (4, "ConnectionRefusedError")
    assert caplog.text == ""
    await cache.aclose()


async def test_an_address_that_is_none_is_an_error_counted() -> None:
    cache = RedisCache(RedisLevel(Secret("http://:hunter2@host")))
    assert await value(cache) is None
    assert (cache.statistics().errors, cache.trouble) == (1, "ValueError")
    await cache.aclose()


async def test_each_loop_has_a_connection_that_ends_with_it(cache: RedisCache, server: FakeRedis) -> None:
    await cache.set(key("a"), b"1", ttl_s=9)
    for _ in range(3):
        assert await asyncio.to_thread(asyncio.run, value(cache)) == b"1"
    assert server.connections == 4
    assert await value(cache) == b"1"
    assert server.connections == 4


async def test_closing_closes_the_connections_of_other_loops_too(cache: RedisCache, server: FakeRedis) -> None:
    asked, closed = asyncio.Event(), asyncio.Event()

    async def other() -> bytes | None:
        loop = asyncio.get_running_loop()
        before = await value(cache)
        here.call_soon_threadsafe(asked.set)
        assert before is None
        done = loop.create_future()
        ends.append(lambda: loop.call_soon_threadsafe(done.set_result, None))
        here.call_soon_threadsafe(closed.set)
        await done
        return await value(cache)

    here = asyncio.get_running_loop()
    ends: list[Callable[[], object]] = []
    thread = asyncio.create_task(asyncio.to_thread(asyncio.run, other()))
    await closed.wait()
    await cache.aclose()
    ends[0]()
    assert await thread is None
    assert cache.statistics().errors == 0, "a closed cache is no failure"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_connects_for_itself_and_leaves_the_parents_connection_alone(server: FakeRedis) -> None:
    cache = RedisCache(RedisLevel(Secret(server.url)))

    async def parent() -> int:
        await cache.set(key("a"), b"1", ttl_s=9)
        child = os.fork()
        if child == 0:
            return 0
        status = (await asyncio.to_thread(os.waitpid, child, 0))[1]
        assert await value(cache) == b"1"
        assert server.connections == 2
        return 256 + status

    with asyncio.Runner() as runner:
        left = runner.run(parent())
        if left == 0:
            # In the child: a loop of its own, as of any forked worker.
            asyncio.set_event_loop(None)
            loop = asyncio.new_event_loop()
            os._exit(0 if loop.run_until_complete(value(cache)) == b"1" else 1)
    assert left == 256


async def test_without_redis_py_the_level_is_off_with_one_line(
    server: FakeRedis, caplog: pytest.LogCaptureFixture
) -> None:
    hidden = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "redis"}
    for name in hidden:
        del sys.modules[name]
    sys.modules["redis"] = None  # type: ignore[assignment]  # how Python itself says that there is none
    try:
        cache = RedisCache(RedisLevel(Secret(server.url)))
        await cache.prepare()
        await cache.prepare()
        await cache.set(key("a"), b"1", ttl_s=9)
        assert await value(cache) is None
    finally:
        del sys.modules["redis"]
        sys.modules.update(hidden)
    assert caplog.messages == [MISSING]
    assert (cache.statistics().errors, cache.statistics().refused, cache.statistics().misses) == (0, 1, 1)
    assert server.connections == 0


async def test_what_was_inherited_is_not_touched_again(cache: RedisCache, server: FakeRedis) -> None:
    await cache.set(key("a"), b"1", ttl_s=9)
    # As in a child: the pid differs, and this runs before anything else.
    cache._pid = -1
    assert await value(cache) == b"1"
    redis_cache._after_fork()
    assert await value(cache) == b"1"
    assert server.connections == 3
    for line in redis_cache._abandoned:
        await line.aclose()
    redis_cache._abandoned.clear()


async def test_an_answer_that_is_none_to_a_write_is_an_error(cache: RedisCache, server: FakeRedis) -> None:
    assert await value(cache) is None
    server.spoil = lambda _: b":7\r\n"
    await cache.set(key("a"), b"1", ttl_s=9)
    await cache.clear("planner")
    server.spoil = None
    assert (cache.statistics().errors, cache.trouble, cache.statistics().writes) == (2, "garbage", 0)
    assert await value(cache) is None


async def test_listing_among_very_many_keys_of_others_ends(cache: RedisCache, server: FakeRedis) -> None:
    server.data |= {b"a of another %d" % number: b"" for number in range(1000)}
    await cache.set(key("a"), b"1", ttl_s=9)
    assert await cache.entries() == []
    assert sum(words[0] == b"SCAN" for words in server.asked) == 50


async def test_an_answer_too_many_is_noticed_and_the_line_left(cache: RedisCache, server: FakeRedis) -> None:
    await cache.set(key("a"), b"a", ttl_s=9)
    await cache.set(key("b"), b"b", ttl_s=9)
    extra = iter([True])
    # The next answer comes twice, so that all later ones would belong to the look before.
    server.spoil = lambda right: right * 2 if next(extra, False) else right
    found = [(word, await value(cache, word)) for word in "abab"]
    assert all(what in {None, word.encode()} for word, what in found)
    await cache.set(key("c"), b"c", ttl_s=9)
    await cache.set(key("a"), b"new", ttl_s=9)
    assert await value(cache, "a") == b"new"
    assert server.connections == 2


async def test_a_clock_that_is_wrong_is_a_miss_and_costs_no_connection(cache: RedisCache, server: FakeRedis) -> None:
    await cache.set(key("a"), b"1", ttl_s=9)
    for wrong_by in (-60, 60):
        other = RedisCache(RedisLevel(Secret(server.url)), wall=clock_off(wrong_by))
        for _ in range(5):
            assert await value(other) is None
        await other.aclose()
    assert server.connections == 3
