"""DiskCache: entries in one SQLite file."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar, final

from typing_extensions import override

from loomwire.domain.caching.entries import CacheEntry, CacheKey, CacheStatistics, EntryFacts
from loomwire.domain.caching.policies import DiskLevel
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.infrastructure.caching.disk.jobs import MORE, Job, More
from loomwire.infrastructure.caching.disk.room import DiskRoom
from loomwire.infrastructure.caching.disk.table import DiskTable
from loomwire.infrastructure.caching.disk.tally import DiskTally
from loomwire.infrastructure.caching.disk.thread import DiskThread

T = TypeVar("T")

_LONGEST_S: Final = 86_400.0 * 366 * 10
_LARGEST: Final = 512 * 1024 * 1024


@final
class DiskCache(ICacheStrategy):
    """Keeps entries in one SQLite file, which several processes of one machine may share, bounded in bytes.

    A thread of its own owns the file, and nothing else touches it: no loop ever waits for a disk. Every value stands in
    an envelope with a checksum over it and its key, so whatever happens to the file, an answer is the right one or a
    miss. Who was used least recently makes room.

    A file that is damaged is set aside as `*.damaged` and begun anew; one that is not ours, or that a newer version
    wrote, is left as it is, and the level is off. What could not be deleted (`invalidate`, `clear` or a failed `set`)
    is never returned by this object, and when it still cannot be deleted at `aclose`, the file goes.

    Safe for threads and event loops, and usable after a fork: the file is closed while the process splits, and parent
    and child open it again.

    Args:
        policy: Where, and how many bytes.
        now: Monotonic seconds.
        wall: Seconds of the wall clock, since entries outlive the process. When it runs backwards all are dropped.
    """

    def __init__(
        self,
        policy: DiskLevel,
        *,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Open nothing yet."""
        self._wall = wall
        self._tally = tally = DiskTally(policy.size_bytes)
        path = Path(policy.path)

        def make_room() -> DiskRoom:
            tally.after_fork()
            return DiskRoom(path, tally, now, wall)

        self._thread = DiskThread(make_room)
        # Who forgets to close it leaves no thread behind.
        weakref.finalize(self, self._thread.stop)

    @property
    def failures(self) -> int:
        """How many looks and writes failed so far; never waits."""
        return self._tally.failures

    @property
    def trouble(self) -> str:
        """What went wrong last, in a few words; empty when nothing ever did."""
        return self._thread.room.trouble

    def adapt(self, policy: DiskLevel) -> None:
        """Take the size of another policy from now on, the path stays; entries that fit stay. From any thread."""
        self._tally.limit_bytes = policy.size_bytes

    @override
    async def get(self, key: CacheKey) -> CacheEntry | None:
        def look(table: DiskTable, wall: float) -> CacheEntry | None:
            return self._look(table, key, wall)

        thread = self._thread
        job: Job[CacheEntry | None] = Job("look", look, otherwise=None)
        if thread.is_crowded or not thread.put(job):
            self._tally.add("misses")
            return None
        return await job.future

    @override
    async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
        lasts = ttl_s > 0 and keep_s >= 0 and ttl_s + keep_s <= _LONGEST_S
        if not lasts or len(value) > min(self._tally.limit_bytes, _LARGEST) or self._thread.is_crowded:
            # The one that may be there is no longer what was kept last.
            self._tally.add("refused")
            await self.invalidate(key)
            return

        def keep(table: DiskTable, wall: float) -> bool:
            table.put(key, value, wall, (ttl_s, keep_s))
            return True

        job: Job[bool] = Job("keep", keep, otherwise=False, owes=(key,), weight=len(value))
        if self._thread.put(job):
            await job.future
        else:
            self._tally.add("refused")

    @override
    async def invalidate(self, key: CacheKey) -> bool:
        job: Job[bool] = Job("write", lambda table, wall: table.drop(key, wall), otherwise=False, owes=(key,))
        return await self._answer(job)

    @override
    async def clear(self, namespace: str | None = None) -> None:
        upto: list[int] = []

        def purge(table: DiskTable, _: float) -> bool | More:
            if namespace is None:
                self._thread.room.debts.add(None)
                return True
            upto[:] = upto or [table.newest()]
            self._thread.room.cuts_log = table.purge(namespace, upto[0])
            return self._thread.room.cuts_log or MORE

        job: Job[bool] = Job("write", purge, otherwise=False, owes=(namespace,))
        await self._answer(job)

    @override
    def statistics(self) -> CacheStatistics:
        return self._tally.statistics(self._wall(), self._thread.room.resting_s)

    @override
    async def entries(self, namespace: str | None = None, limit: int = 20) -> Sequence[EntryFacts]:
        nothing: Sequence[EntryFacts] = ()
        job = Job("write", lambda table, wall: table.facts(namespace, limit, wall), otherwise=nothing)
        return await self._answer(job)

    @override
    async def sweep(self) -> int:
        expired: list[int] = []

        def drop(table: DiskTable, wall: float) -> int | More:
            expired.append(table.expire(wall))
            if expired[-1] or not table.give_back():
                return MORE
            self._thread.room.cuts_log = True
            return sum(expired)

        job: Job[int] = Job("write", drop, otherwise=0)
        count = await self._answer(job)
        self._tally.add("expired", count)
        return count

    @override
    async def aclose(self) -> None:
        farewell: Job[bool] = Job("look", _nothing, otherwise=False)
        if self._thread.stop(farewell):
            await farewell.future

    async def _answer(self, job: Job[T]) -> T:
        return await job.future if self._thread.put(job) else job.otherwise

    def _look(self, table: DiskTable, key: CacheKey, wall: float) -> CacheEntry | None:
        found = None if self._thread.room.debts.covers(key) else table.find(key, wall)
        if isinstance(found, CacheEntry):
            self._tally.add("hits")
            if not found.is_fresh:
                self._tally.add("stale")
            return found
        self._tally.add("misses")
        if found is not None:
            self._thread.room.doubt(key)
        return None


def _nothing(_: DiskTable, __: float) -> bool:
    return False
