"""MemoryCache: entries in the memory of this process, bounded in bytes."""

from __future__ import annotations

import asyncio
import heapq
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Final, NamedTuple, final

from typing_extensions import override

from loomwire.domain.caching.entries import CacheEntry, CacheKey, CacheStatistics, EntryFacts
from loomwire.domain.caching.policies import MemoryLevel
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.infrastructure.caching.eviction.slots import LEVEL, OVERHEAD, Slot, Space
from loomwire.infrastructure.caching.eviction.table import ORDERS

_LOGGER: Final = logging.getLogger("loomwire.cache")
_STRIPES: Final = 1024
_AT_ONCE: Final = 256


class Ticket(NamedTuple):
    """How often what stands at a key had been changed at an instant; see `MemoryCache.promote`.

    Attributes:
        at: The instant.
        cleared: How often anything was cleared.
        changed: How often entries of the key's stripe were set or invalidated.
    """

    at: float
    cleared: int
    changed: int


@final
class MemoryCache(ICacheStrategy):
    """Keeps entries in dictionaries, bounded in bytes; who makes room is the strategy's decision.

    Safe for threads and event loops: every step holds one lock for microseconds, and no method waits for anything
    else. Usable after a fork, with what it held. A clock that runs backwards empties it: nobody knows then how old
    anything is.

    Args:
        policy: How many bytes, and the strategy.
        now: Monotonic seconds.
    """

    def __init__(self, policy: MemoryLevel = MemoryLevel(), *, now: Callable[[], float] = time.monotonic) -> None:
        """Hold nothing."""
        self._now = now
        self._latest = now()
        self._size_bytes = self._limit = self._target = policy.size_bytes
        self._share = 1.0
        self._overhead = OVERHEAD[policy.strategy]
        self._make_order = ORDERS[policy.strategy]
        self._closed = False
        self._too_large = 0
        self._hits = self._misses = self._stale = self._writes = 0
        self._evictions = self._expired = self._refused = 0
        self._cleared = 0
        self._changes = [0] * _STRIPES
        self._lock = threading.Lock()
        self._begin()
        _caches.add(self)

    def _begin(self) -> None:
        self._held = self._entries = 0
        self._spaces: dict[str, Space] = {}
        self._over: deque[Space] = deque()
        self._order = self._make_order()

    def after_fork(self) -> None:
        """Take a lock of its own in a child, and start anew when a thread of the parent was changing something."""
        if self._lock.locked():
            self._begin()
        self._lock = threading.Lock()

    @override
    async def get(self, key: CacheKey) -> CacheEntry | None:
        with self._lock:
            now = self._time()
            slot = self._find(key)
            if slot is None:
                self._misses += 1
                return None
            age = now - slot.born
            if age >= slot.ttl_s + slot.keep_s:
                self._expire(slot)
                self._misses += 1
                return None
            self._hits += 1
            self._stale += age >= slot.ttl_s
            slot.hits += 1
            self._order.touch(slot)
            return CacheEntry(slot.value, age, slot.ttl_s, LEVEL, slot.keep_s, slot.hits)

    @override
    async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
        with self._lock:
            now = self._time()
            self._changes[hash(key) % _STRIPES] += 1
            self._keep(key, value, now, ttl_s, keep_s)
        self._tell()

    def ticket(self, key: CacheKey) -> Ticket:
        """Return what tells later whether a key was changed meanwhile; taken before it is looked for elsewhere."""
        with self._lock:
            return self._ticket(key)

    def promote(self, key: CacheKey, entry: CacheEntry, ticket: Ticket) -> None:
        """Keep what was found on another level, as old as it is there.

        It is not kept when something younger is here, or when the key was set, invalidated or cleared since the
        ticket was taken: that is newer than what was found.

        Args:
            key: Where.
            entry: What was found.
            ticket: Of this key, from before the other level was asked.
        """
        with self._lock:
            slot = self._find(key)
            # As if it had been read before the other level was asked: never younger than it is.
            born = ticket.at - entry.age_s
            if ticket[1:] == self._ticket(key)[1:] and (slot is None or slot.born < born):
                self._keep(key, entry.value, born, entry.ttl_s, entry.keep_s)
        self._tell()

    def holds(self, key: CacheKey, value: bytes) -> bool:
        """Return whether this very value is here; counts as no look."""
        with self._lock:
            slot = self._find(key)
            return slot is not None and slot.value == value

    @override
    async def invalidate(self, key: CacheKey) -> bool:
        with self._lock:
            now = self._time()
            self._changes[hash(key) % _STRIPES] += 1
            slot = self._find(key)
            if slot is None:
                return False
            if slot.is_over(now):
                self._expire(slot)
                return False
            self._drop(slot)
            return True

    @override
    async def clear(self, namespace: str | None = None) -> None:
        if namespace is None:
            self._empty()
            return
        with self._lock:
            self._cleared += 1
            space = self._spaces.pop(namespace, None)
            if space is not None:
                # However many entries it has, this takes no time; they are dropped by `sweep` and who needs room.
                space.over = True
                self._over.append(space)
                self._entries -= len(space.slots)

    @override
    def statistics(self) -> CacheStatistics:
        with self._lock:
            now = self._time()
            # Entries stand in the order in which they were kept; a space without any does not last.
            born = min((next(iter(space.slots.values())).born for space in self._spaces.values()), default=None)
            return CacheStatistics(
                level=LEVEL,
                hits=self._hits,
                misses=self._misses,
                stale=self._stale,
                writes=self._writes,
                evictions=self._evictions,
                expired=self._expired,
                refused=self._refused,
                entries=self._entries,
                size_bytes=self._held,
                limit_bytes=self._limit,
                oldest_s=None if born is None else now - born,
            )

    @override
    async def entries(self, namespace: str | None = None, limit: int = 20) -> Sequence[EntryFacts]:
        with self._lock:
            now = self._time()
            spaces = self._spaces.values() if namespace is None else filter(None, (self._spaces.get(namespace),))
            slots = self._listed(spaces)
        there = (slot for slot in slots if not slot.is_over(now))
        return tuple(slot.facts(now) for slot in heapq.nlargest(limit, there, key=attrgetter("hits")))

    @override
    async def sweep(self) -> int:
        with self._lock:
            now = self._time()
            slots = self._listed(self._spaces.values())
            cleared = sum(len(space.slots) for space in self._over)
        old = [slot for slot in slots if slot.is_over(now)]
        for start in range(0, len(old), _AT_ONCE):
            self._sweep(old[start : start + _AT_ONCE], now)
            await asyncio.sleep(0)
        for _ in range(0, cleared, _AT_ONCE):
            self._bury_some()
            await asyncio.sleep(0)
        return len(old)

    def adapt(self, policy: MemoryLevel) -> None:
        """Take the size of this policy from now on; entries that fit stay. Safe from any thread."""
        with self._lock:
            self._size_bytes = policy.size_bytes
        self.resize(self._share)

    @override
    def resize(self, share: float) -> None:
        with self._lock:
            self._share = share
            target = self._target = int(self._size_bytes * share)
            self._limit = max(self._limit, target)
        if target == 0:
            entries = self._empty()
            with self._lock:
                self._evictions += entries
        while self._shrink(target):
            pass

    @override
    async def aclose(self) -> None:
        self._closed = True
        self._empty()

    def _time(self) -> float:
        now = self._now()
        if now < self._latest:
            self._cleared += 1
            for space in self._spaces.values():
                # Who sweeps just now may still have its entries.
                space.over = True
            self._begin()
        self._latest = now
        return now

    def _ticket(self, key: CacheKey) -> Ticket:
        return Ticket(self._time(), self._cleared, self._changes[hash(key) % _STRIPES])

    def _find(self, key: CacheKey) -> Slot | None:
        space = self._spaces.get(key.namespace)
        return None if space is None else space.slots.get(key.digest)

    def _keep(self, key: CacheKey, value: bytes, born: float, ttl_s: float, keep_s: float) -> None:
        namespace, digest = key
        slot = self._find(key)
        if slot is not None:
            self._drop(slot)
        size = self._overhead + len(value) + len(digest) + len(namespace)
        if self._closed or size > self._limit or not ttl_s > 0:
            self._refused += 1
            if size > self._size_bytes and not self._too_large:
                self._too_large = size
            return
        while self._held + size > self._limit:
            self._shed()
        space = self._spaces.get(namespace)
        if space is None:
            space = self._spaces[namespace] = Space(namespace)
        if slot is None:
            slot = Slot(digest)
        slot.keep(space, value, size)
        slot.born, slot.ttl_s, slot.keep_s = born, ttl_s, keep_s
        space.slots[digest] = slot
        self._order.add(slot)
        self._held += size
        self._entries += 1
        self._writes += 1

    def _tell(self) -> None:
        # Once for this level, and not under the lock: handlers may be slow.
        size = self._too_large
        if size > 0:
            self._too_large = -1
            _LOGGER.warning("an entry of %d bytes does not fit into the cache in memory (%d)", size, self._size_bytes)

    def _expire(self, slot: Slot) -> None:
        self._expired += 1
        self._drop(slot)

    def _drop(self, slot: Slot) -> None:
        self._order.drop(slot)
        self._remove(slot)

    def _remove(self, slot: Slot) -> None:
        space = slot.space
        del space.slots[slot.digest]
        self._held -= slot.size_bytes
        # The order may know the slot for a while.
        slot.value = b""
        if not space.over:
            self._entries -= 1
            if not space.slots:
                del self._spaces[space.name]

    def _shed(self) -> None:
        """Make room by one entry."""
        if self._over:
            self._bury()
        else:
            self._evictions += 1
            self._remove(self._order.pop())

    def _bury(self) -> None:
        """Drop one entry of what was cleared."""
        slots = self._over[0].slots
        _, slot = slots.popitem()
        self._order.drop(slot)
        self._held -= slot.size_bytes
        slot.value = b""
        if not slots:
            self._over.popleft()

    def _bury_some(self) -> None:
        with self._lock:
            for _ in range(_AT_ONCE):
                if self._over:
                    self._bury()

    def _sweep(self, slots: Iterable[Slot], now: float) -> None:
        with self._lock:
            for slot in slots:
                if slot.is_kept and slot.is_over(now):
                    self._expire(slot)

    def _shrink(self, target: int) -> bool:
        """Make some room, and tell whether there is more to do: nobody has to wait, or to do, all of it."""
        with self._lock:
            for _ in range(_AT_ONCE):
                if self._held <= target:
                    break
                self._shed()
            if self._target != target:
                return False
            self._limit = max(target, self._held)
            return self._held > target

    def _empty(self) -> int:
        """Forget everything, and return how many entries that were."""
        with self._lock:
            self._cleared += 1
            spaces = (*self._spaces.values(), *self._over)
            entries, order = self._entries, self._order
            self._begin()
        # Not under the lock: this takes a while. Space and slot know each other, so nothing would go by itself.
        for space in spaces:
            space.over = True
            space.slots.clear()
        del order
        return entries

    @staticmethod
    def _listed(spaces: Iterable[Space]) -> list[Slot]:
        # Under the lock, and there may be hundreds of thousands.
        return [*chain.from_iterable(space.slots.values() for space in spaces)]


_caches: weakref.WeakSet[MemoryCache] = weakref.WeakSet()


def _after_fork() -> None:
    for cache in tuple(_caches):
        cache.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_after_fork)
