"""TieredCache: several levels as one, the fastest first."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterable, Sequence
from operator import attrgetter
from typing import Final, TypeAlias, TypeVar, final

from typing_extensions import override

from loomwire.domain.caching.entries import CacheEntry, CacheKey, CacheStatistics, EntryFacts
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.infrastructure.caching.memory import MemoryCache, Ticket

_LOGGER: Final = logging.getLogger("loomwire.cache")

T = TypeVar("T")

_Asking: TypeAlias = Callable[[ICacheStrategy], Awaitable[T]]


@final
class TieredCache(ICacheStrategy):
    """Asks levels in order, and writes to all of them. Safe for threads and event loops.

    The first fresh entry wins. Where a level has only a stale one, those below are asked for a younger one. What was
    found below is kept in the memory levels above, as old as it is, so that it lives no longer there; on other levels
    an age cannot be given, so nothing is promoted to them. What was set, invalidated or cleared while somebody looked
    below is never undone by what he found.

    A level that raises, which none may, is a miss, counted in `errors`; one line is logged when that begins, and one
    when it is over.

    Args:
        levels: The fastest first. None at all is a cache that holds nothing.
    """

    def __init__(self, levels: Sequence[ICacheStrategy]) -> None:
        """Count nothing yet."""
        self._levels = tuple(levels)
        self._memory = tuple(level for level in levels if isinstance(level, MemoryCache))
        self._outer = tuple(level for level in levels if not isinstance(level, MemoryCache))
        self._broken: frozenset[int] = frozenset()
        self._hits = self._misses = self._stale = self._writes = self._errors = 0
        self.after_fork()
        _tiered.add(self)

    def after_fork(self) -> None:
        """Take a lock of its own in a child."""
        self._lock = threading.Lock()

    @override
    async def get(self, key: CacheKey) -> CacheEntry | None:
        found: CacheEntry | None = None
        tickets: list[tuple[MemoryCache, Ticket]] = []
        above: tuple[tuple[MemoryCache, Ticket], ...] = ()
        for level in self._levels:
            better = _better(found, await self._tried(level, lambda level: level.get(key), None))
            if better is not found:
                found, above = better, tuple(tickets)
            if found is not None and found.is_fresh:
                break
            if isinstance(level, MemoryCache):
                tickets.append((level, level.ticket(key)))
        self._count(found)
        if found is not None:
            for memory, ticket in above:
                memory.promote(key, found, ticket)
        return found

    @override
    async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
        with self._lock:
            self._writes += 1
        for memory in self._memory:
            await memory.set(key, value, ttl_s=ttl_s, keep_s=keep_s)
        if not self._outer:
            return
        await self._all(self._outer, lambda level: level.set(key, value, ttl_s=ttl_s, keep_s=keep_s), None)
        for memory in self._memory:
            # Not kept there, or evicted meanwhile: then somebody may have found the old value below, and promoted it.
            if not memory.holds(key, value):
                await memory.invalidate(key)

    @override
    async def invalidate(self, key: CacheKey) -> bool:
        there: list[bool] = []
        try:
            # Those below first: as long as one has it, it would be promoted again.
            there += await self._all(self._outer, lambda level: level.invalidate(key), otherwise=False)
        finally:
            there += [await memory.invalidate(key) for memory in self._memory]
        return any(there)

    @override
    async def clear(self, namespace: str | None = None) -> None:
        try:
            await self._all(self._outer, lambda level: level.clear(namespace), None)
        finally:
            for memory in self._memory:
                await memory.clear(namespace)

    @override
    def statistics(self) -> CacheStatistics:
        parts = [level.statistics() for level in self._levels]
        with self._lock:
            return CacheStatistics(
                level="+".join(map(attrgetter("level"), parts)),
                hits=self._hits,
                misses=self._misses,
                stale=self._stale,
                writes=self._writes,
                evictions=sum(map(attrgetter("evictions"), parts)),
                expired=sum(map(attrgetter("expired"), parts)),
                refused=sum(map(attrgetter("refused"), parts)),
                errors=self._errors + sum(map(attrgetter("errors"), parts)),
                entries=_joined(max, [part.entries for part in parts]),
                size_bytes=_joined(sum, [part.size_bytes for part in parts]),
                limit_bytes=_joined(sum, [part.limit_bytes for part in parts]),
                oldest_s=max((part.oldest_s for part in parts if part.oldest_s is not None), default=None),
                resting_s=max(map(attrgetter("resting_s"), parts), default=0.0),
            )

    @override
    async def entries(self, namespace: str | None = None, limit: int = 20) -> Sequence[EntryFacts]:
        nothing: Sequence[EntryFacts] = ()
        parts = await self._all(self._levels, lambda level: level.entries(namespace, limit), nothing)
        found = [facts for part in parts for facts in part]
        found.sort(key=attrgetter("hits"), reverse=True)
        once: dict[tuple[str, str], EntryFacts] = {}
        for facts in found:
            once.setdefault((facts.namespace, facts.digest), facts)
        return tuple(once.values())[:limit]

    @override
    async def sweep(self) -> int:
        # Most entries are on every level.
        return max(await self._all(self._levels, lambda level: level.sweep(), 0), default=0)

    @override
    def resize(self, share: float) -> None:
        for level in self._levels:
            level.resize(share)

    @override
    async def aclose(self) -> None:
        await self._all(self._levels, lambda level: level.aclose(), None)

    async def _all(self, levels: Sequence[ICacheStrategy], asking: _Asking[T], otherwise: T) -> list[T]:
        if len(levels) == 1:
            return [await self._tried(levels[0], asking, otherwise)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._tried(level, asking, otherwise)) for level in levels]
        return [task.result() for task in tasks]

    async def _tried(self, level: ICacheStrategy, asking: _Asking[T], otherwise: T) -> T:
        try:
            answer = await asking(level)
        except Exception as error:  # noqa: BLE001  # a level that breaks its promise must not be felt
            self._broke(level, type(error).__name__)
            return otherwise
        if id(level) in self._broken:
            with self._lock:
                self._broken -= {id(level)}
            _LOGGER.warning("cache level %s answers again", type(level).__name__)
        return answer

    def _broke(self, level: ICacheStrategy, why: str) -> None:
        with self._lock:
            self._errors += 1
            is_first = id(level) not in self._broken
            self._broken |= {id(level)}
        if is_first:
            _LOGGER.warning("cache level %s raised %s, which is taken for a miss", type(level).__name__, why)

    def _count(self, found: CacheEntry | None) -> None:
        with self._lock:
            if found is None:
                self._misses += 1
            else:
                self._hits += 1
                self._stale += not found.is_fresh


def _better(found: CacheEntry | None, entry: CacheEntry | None) -> CacheEntry | None:
    if found is None or entry is None:
        return entry or found
    return entry if entry.is_fresh or entry.age_s < found.age_s else found


def _joined(join: Callable[[Iterable[int]], int], parts: Sequence[int | None]) -> int | None:
    known = [part for part in parts if part is not None]
    return join(known) if parts and len(known) == len(parts) else None


_tiered: weakref.WeakSet[TieredCache] = weakref.WeakSet()


def _after_fork() -> None:
    for tiered in tuple(_tiered):
        tiered.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_after_fork)
