"""A Redis server that is killed, stopped, full, emptied or locked is never felt and never makes an answer wrong."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import Iterator
from typing import ClassVar

import pytest
from hypothesis import settings
from typing_extensions import override

from loomwire.domain.caching.entries import CacheKey
from loomwire.domain.caching.policies import RedisLevel
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.domain.values import Secret
from loomwire.infrastructure.caching.redis_cache import RedisCache
from loomwire.infrastructure.caching.shielded import Shielded
from support.cache_model import CacheMachine
from support.real_redis import PROGRAM, RealRedis, real_redis

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(PROGRAM is None, reason="no redis-server: apt install redis-server"),
]


@pytest.fixture
def server() -> Iterator[RealRedis]:
    with real_redis() as running:
        yield running


def key(word: str) -> CacheKey:
    return CacheKey("planner", hashlib.sha256(word.encode()).digest())


def value_of(word: str) -> bytes:
    """Return the one right value of a key, which is not short."""
    return hashlib.sha512(word.encode()).digest() * 32


def level(server: RealRedis, url: str = "") -> Shielded:
    return Shielded(RedisCache(RedisLevel(Secret(url or server.url))), timeout_s=0.05, now=time.monotonic)


async def used(cache: ICacheStrategy, rounds: int) -> tuple[int, int]:
    """Look and keep as a cached client does; return how many hits and misses there were, of which none was wrong."""
    hits = misses = 0
    for turn in range(rounds):
        word = str(turn % 20)
        began = time.monotonic()
        entry = await cache.get(key(word))
        assert time.monotonic() - began < 1, "it was felt"
        if entry is None:
            misses += 1
            await cache.set(key(word), value_of(word), ttl_s=60)
        else:
            hits += 1
            assert entry.value == value_of(word)
    return hits, misses


async def test_killed_in_the_middle_and_started_anew(server: RealRedis) -> None:
    cache = level(server)
    for _ in range(3):
        using = asyncio.create_task(used(cache, 3000))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(server.kill)
        await using
        await asyncio.to_thread(server.start)
        ends = time.monotonic() + 20
        while (await used(cache, 40))[0] == 0:
            assert time.monotonic() < ends, "it never came back"
            await asyncio.sleep(0.05)
    await cache.aclose()


async def test_stopped_and_continued(server: RealRedis) -> None:
    cache = level(server)
    await used(cache, 40)
    for _ in range(3):
        server.signal(signal.SIGSTOP)
        began = time.monotonic()
        hits, _ = await used(cache, 500)
        assert hits == 0
        assert time.monotonic() - began < 2, "looks wait for a server that answers nothing"
        assert cache.statistics().resting_s > 0
        server.signal(signal.SIGCONT)
        ends = time.monotonic() + 20
        while (await used(cache, 40))[0] == 0:
            assert time.monotonic() < ends, "it never came back"
            await asyncio.sleep(0.05)
    await cache.aclose()


async def test_a_full_server_keeps_what_fits_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    for policy in ("noeviction", "allkeys-random"):
        with real_redis("--maxmemory", "3mb", "--maxmemory-policy", policy) as server:
            cache = level(server)
            for number in range(300):
                await cache.set(key(f"large {number}"), os.urandom(50_000), ttl_s=60)
            for number in range(300):
                entry = await cache.get(key(f"large {number}"))
                assert entry is None or len(entry.value) == 50_000
            await cache.aclose()
    assert len(caplog.messages) <= 6


@pytest.mark.parametrize("url", ["{}", "unix://:hunter2-wrong@{}", "unix://nobody:hunter2@{}"])
async def test_a_wrong_password_is_a_miss_and_never_shown(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with real_redis("--requirepass", "right-secret") as server:
        cache = level(server, url.format(server.path) if "@" in url else server.url)
        assert await used(cache, 50) == (0, 50)
        assert len(caplog.messages) == 1
        assert "AuthenticationError" in caplog.text
        shown = caplog.text + repr(cache.statistics()) + repr(cache.inner)
        assert not any(word in shown for word in ("hunter2", "secret", str(server.folder)))
        await cache.aclose()
        allowed = level(server, f"unix://:right-secret@{server.path}")
        assert (await used(allowed, 50))[0] > 0
        await allowed.aclose()


async def test_an_emptied_server_brings_nothing_back(server: RealRedis) -> None:
    cache, other = level(server), level(server)
    await used(cache, 40)
    assert await asyncio.to_thread(server.say, "FLUSHALL") == "OK"
    assert await other.get(key("1")) is None
    await used(cache, 40)
    await other.clear("planner")
    assert await cache.get(key("1")) is None
    await asyncio.gather(cache.aclose(), other.aclose())


async def test_a_replica_that_only_reads_is_a_miss(server: RealRedis) -> None:
    with real_redis("--replicaof", "127.0.0.1", "1", "--replica-serve-stale-data", "yes") as replica:
        cache = level(replica)
        assert await used(cache, 20) == (0, 20)
        await cache.aclose()


async def test_everything_expires_on_the_server_too(server: RealRedis) -> None:
    cache = level(server)
    await cache.set(key("1"), b"1", ttl_s=0.05, keep_s=0.05)
    names = (await asyncio.to_thread(server.say, "KEYS", "*entry*")).split()
    assert 0 < int(await asyncio.to_thread(server.say, "PTTL", names[0])) <= 100
    await cache.aclose()


async def test_a_hit_costs_little_more_than_a_bare_get(server: RealRedis) -> None:
    from redis.asyncio import Redis

    bare, cache = Redis(unix_socket_path=str(server.path)), level(server)
    await bare.set("bare", os.urandom(2048))
    await cache.set(key("1"), os.urandom(2048), ttl_s=60)
    taken: dict[str, list[float]] = {"bare": [], "hit": []}
    for _ in range(2000):
        began = time.perf_counter()
        await bare.get("bare")
        between = time.perf_counter()
        assert await cache.get(key("1")) is not None
        taken["bare"].append(between - began)
        taken["hit"].append(time.perf_counter() - between)
    typical = {name: sorted(seconds)[len(seconds) // 2] for name, seconds in taken.items()}
    assert typical["hit"] - typical["bare"] < 150e-6
    await asyncio.gather(bare.aclose(), cache.aclose())


class OverRealRedis(CacheMachine):
    """A level over a server of its own."""

    # The server drops by its own clock, which is not the machine's.
    certain: ClassVar[bool] = False
    swept: ClassVar[bool] = False

    @override
    def build(self) -> ICacheStrategy:
        self.running = real_redis()
        server = self.running.__enter__()
        cache = RedisCache(RedisLevel(Secret(server.url)), wall=lambda: 1e9 + self.clock.now())
        return Shielded(cache, timeout_s=5, now=self.clock.now)

    @override
    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "running"):
            self.running.__exit__(None, None, None)


TestOverRealRedis = OverRealRedis.TestCase
TestOverRealRedis.settings = settings(max_examples=60, stateful_step_count=25)
