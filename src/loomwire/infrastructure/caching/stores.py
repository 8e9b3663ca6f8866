"""CacheStores: opens every level once, whoever asks for it."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never, final

from typing_extensions import override

from loomwire.domain.caching.policies import DiskLevel, EvictionRule, Level, MemoryLevel, RedisLevel
from loomwire.domain.ports.cache import ICacheStores, ICacheStrategy
from loomwire.domain.values import Secret
from loomwire.infrastructure.caching.memory import MemoryCache
from loomwire.infrastructure.caching.tiered import TieredCache
from loomwire.infrastructure.configuration.files import absolute

if TYPE_CHECKING:
    from loomwire.infrastructure.caching.disk.cache import DiskCache
    from loomwire.infrastructure.caching.shielded import Shielded

_CLOSE_S: Final = 10.0
_Server: TypeAlias = tuple[Secret, str]


@final
class CacheStores(ICacheStores):
    """Opens levels, and joins them. Safe for threads and event loops, and usable after a fork.

    What is asked for on its own is the level itself; several are one `TieredCache`. Disks and servers are shielded. A
    level that is no longer wanted is closed on a daemon thread, so that a reload waits for no disk and no server.

    Args:
        now: Monotonic seconds.
        wall: Seconds of the wall clock, for entries that outlive the process.
    """

    def __init__(self, *, now: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        """Open nothing yet."""
        self._now = now
        self._wall = wall
        self._memories: dict[EvictionRule, MemoryCache] = {}
        self._disks: dict[str, tuple[Shielded, DiskCache]] = {}
        self._servers: dict[_Server, Shielded] = {}
        self._joined: dict[tuple[ICacheStrategy, ...], ICacheStrategy] = {}
        self._closing: tuple[threading.Thread, ...] = ()
        self._closed = False
        self.after_fork()
        _stores.add(self)

    def after_fork(self) -> None:
        """Take a lock of its own in a child."""
        self._lock = threading.RLock()
        self._closing = ()
        for store in self._joined.values():
            if isinstance(store, TieredCache):
                store.after_fork()

    @override
    def store(self, levels: tuple[Level, ...]) -> ICacheStrategy:
        with self._lock:
            if self._closed:
                return TieredCache(())
            parts = tuple(dict.fromkeys(map(self._opened, levels)))
            known = self._joined.get(parts)
            if known is None:
                known = self._joined[parts] = parts[0] if len(parts) == 1 else TieredCache(parts)
            return known

    @override
    def retain(self, levels: Iterable[Level]) -> None:
        memories: set[EvictionRule] = set()
        disks: set[str] = set()
        servers: set[_Server] = set()
        for level in levels:
            match level:
                case MemoryLevel():
                    memories.add(level.strategy)
                case DiskLevel():
                    disks.add(absolute(level.path))
                case RedisLevel():
                    servers.add((level.url, level.prefix))
                case _:
                    assert_never(level)
        with self._lock:
            before = self.levels()
            self._memories = {rule: cache for rule, cache in self._memories.items() if rule in memories}
            self._disks = {path: disk for path, disk in self._disks.items() if path in disks}
            self._servers = {server: cache for server, cache in self._servers.items() if server in servers}
            kept = self.levels()
            self._joined = {parts: store for parts, store in self._joined.items() if set(parts) <= set(kept)}
            self._close_behind([cache for cache in before if cache not in kept])

    @override
    def levels(self) -> Sequence[ICacheStrategy]:
        with self._lock:
            disks = (shielded for shielded, _ in self._disks.values())
            return (*self._memories.values(), *disks, *self._servers.values())

    @override
    async def aclose(self) -> None:
        with self._lock:
            self._closed = True
            closing = self._closing
            gone = self.levels()
            self._memories, self._disks, self._servers, self._joined = {}, {}, {}, {}
        await _close_all(gone)
        for thread in closing:
            if thread.is_alive():
                await asyncio.to_thread(thread.join, _CLOSE_S)

    def _opened(self, level: Level) -> ICacheStrategy:
        match level:
            case MemoryLevel():
                return self._memory(level)
            case DiskLevel():
                return self._disk(level)
            case RedisLevel():
                return self._redis(level)
            case _:
                assert_never(level)

    def _memory(self, level: MemoryLevel) -> MemoryCache:
        cache = self._memories.get(level.strategy)
        if cache is None:
            cache = self._memories[level.strategy] = MemoryCache(level, now=self._now)
        else:
            cache.adapt(level)
        return cache

    def _disk(self, level: DiskLevel) -> Shielded:
        # Imported here, like all that only some configurations ask for.
        from loomwire.infrastructure.caching.disk.cache import DiskCache
        from loomwire.infrastructure.caching.shielded import Shielded

        path = absolute(level.path)
        known = self._disks.get(path)
        if known is None:
            inner = DiskCache(replace(level, path=path), now=self._now, wall=self._wall)
            known = self._disks[path] = Shielded(inner, timeout_s=level.timeout_s, now=self._now), inner
        shielded, disk = known
        disk.adapt(level)
        shielded.adapt(level.timeout_s)
        return shielded

    def _redis(self, level: RedisLevel) -> Shielded:
        from loomwire.infrastructure.caching.redis_cache import RedisCache
        from loomwire.infrastructure.caching.shielded import Shielded

        server = level.url, level.prefix
        shielded = self._servers.get(server)
        if shielded is None:
            inner = RedisCache(level, wall=self._wall)
            shielded = self._servers[server] = Shielded(inner, timeout_s=level.timeout_s, now=self._now)
        shielded.adapt(level.timeout_s)
        return shielded

    def _close_behind(self, gone: Sequence[ICacheStrategy]) -> None:
        if not gone:
            return
        closing = threading.Thread(target=_close, args=(gone,), name="loomwire-cache-close", daemon=True)
        self._closing = (*filter(threading.Thread.is_alive, self._closing), closing)
        closing.start()


def _close(gone: Sequence[ICacheStrategy]) -> None:
    asyncio.run(_close_all(gone))


async def _close_all(gone: Sequence[ICacheStrategy]) -> None:
    # As one cache, so that a level that breaks its promise keeps no other one open.
    await TieredCache(gone).aclose()


_stores: weakref.WeakSet[CacheStores] = weakref.WeakSet()


def _after_fork() -> None:
    for stores in tuple(_stores):
        stores.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_after_fork)
