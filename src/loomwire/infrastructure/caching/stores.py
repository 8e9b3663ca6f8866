"""CacheStores: opens every level once, whoever asks for it."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, assert_never, final

from typing_extensions import override

from loomwire.domain.caching.policies import DiskLevel, Level, MemoryLevel, RedisLevel
from loomwire.domain.ports.caching.cache import ICacheStores, ICacheStrategy
from loomwire.domain.values import Secret
from loomwire.infrastructure.caching.memory import MemoryCache

if TYPE_CHECKING:
    from loomwire.infrastructure.caching.disk.cache import DiskCache
    from loomwire.infrastructure.caching.shielded import Shielded

_CLOSE_S: Final = 10.0
_Place: TypeAlias = tuple[str | Secret, str]

T = TypeVar("T")


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
        self._memories: dict[_Place, MemoryCache] = {}
        self._disks: dict[_Place, tuple[Shielded, DiskCache]] = {}
        self._servers: dict[_Place, Shielded] = {}
        self._joined: dict[tuple[ICacheStrategy, ...], ICacheStrategy] = {}
        self._closing: tuple[threading.Thread, ...] = ()
        self._closed = False
        self.after_fork()
        _stores.add(self)

    def after_fork(self) -> None:
        """Take a lock of its own in a child."""
        self._lock = threading.RLock()
        self._closing = ()

    @override
    def store(self, levels: tuple[Level, ...]) -> ICacheStrategy:
        with self._lock:
            if self._closed:
                return _as_one(())
            parts = tuple(dict.fromkeys(map(self._opened, levels)))
            known = self._joined.get(parts)
            if known is None:
                known = self._joined[parts] = parts[0] if len(parts) == 1 else _as_one(parts)
            return known

    @override
    def retain(self, levels: Iterable[Level]) -> None:
        wanted = set(map(_place, levels))
        with self._lock:
            before = self.levels()
            self._memories = _kept(self._memories, wanted)
            self._disks = _kept(self._disks, wanted)
            self._servers = _kept(self._servers, wanted)
            kept = set(self.levels())
            self._joined = {parts: store for parts, store in self._joined.items() if kept.issuperset(parts)}
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
        place = _place(level)
        cache = self._memories.get(place)
        if cache is None:
            cache = self._memories[place] = MemoryCache(level, now=self._now)
        else:
            cache.adapt(level)
        return cache

    def _disk(self, level: DiskLevel) -> Shielded:
        # Imported here, like all that only some configurations ask for.
        from loomwire.infrastructure.caching.disk.cache import DiskCache
        from loomwire.infrastructure.caching.shielded import Shielded

        place = _place(level)
        known = self._disks.get(place)
        if known is None:
            inner = DiskCache(replace(level, path=place[1]), now=self._now, wall=self._wall)
            known = self._disks[place] = Shielded(inner, timeout_s=level.timeout_s, now=self._now), inner
        shielded, disk = known
        disk.adapt(level)
        shielded.adapt(level.timeout_s)
        return shielded

    def _redis(self, level: RedisLevel) -> Shielded:
        from loomwire.infrastructure.caching.redis_cache import RedisCache
        from loomwire.infrastructure.caching.shielded import Shielded

        place = _place(level)
        shielded = self._servers.get(place)
        if shielded is None:
            inner = RedisCache(level, wall=self._wall)
            shielded = self._servers[place] = Shielded(inner, timeout_s=level.timeout_s, now=self._now)
        shielded.adapt(level.timeout_s)
        return shielded

    def _close_behind(self, gone: Sequence[ICacheStrategy]) -> None:
        if not gone:
            return
        closing = threading.Thread(target=_close, args=(gone,), name="loomwire-cache-close", daemon=True)
        self._closing = (*filter(threading.Thread.is_alive, self._closing), closing)
        closing.start()


def _place(level: Level) -> _Place:
    match level:
        case MemoryLevel():
            return "memory", level.strategy
        case DiskLevel():
            return "disk", str(Path(level.path).absolute())
        case RedisLevel():
            return level.url, level.prefix
        case _:
            assert_never(level)


def _as_one(levels: Sequence[ICacheStrategy]) -> ICacheStrategy:
    # Most containers have one level.
    from loomwire.infrastructure.caching.tiered import TieredCache

    return TieredCache(levels)


def _kept(held: dict[_Place, T], wanted: Collection[_Place]) -> dict[_Place, T]:
    return {place: each for place, each in held.items() if place in wanted}


def _close(gone: Sequence[ICacheStrategy]) -> None:
    asyncio.run(_close_all(gone))


async def _close_all(gone: Sequence[ICacheStrategy]) -> None:
    # As one cache, so that a level that breaks its promise keeps no other one open.
    await _as_one(gone).aclose()


_stores: weakref.WeakSet[CacheStores] = weakref.WeakSet()


def _after_fork() -> None:
    for stores in tuple(_stores):
        stores.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_after_fork)
