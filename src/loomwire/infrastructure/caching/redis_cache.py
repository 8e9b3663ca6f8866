"""RedisCache: entries in a Redis server, which any number of processes share."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import secrets
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias, get_args

from typing_extensions import override

from loomwire.domain.caching.entries import CacheEntry, CacheKey, CacheStatistics, EntryFacts
from loomwire.domain.caching.policies import RedisLevel
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.infrastructure.caching.envelope import opened, sealed
from loomwire.infrastructure.caching.redis_keys import GARBAGE, MARK_BYTES, RedisKeys, scanned, split
from loomwire.infrastructure.caching.redis_lines import Command, LineError, RedisLine, dialling

LEVEL: Final = "redis"
MISSING: Final = 'the cache level redis is off: install it with `pip install "loomwire[redis]"`'
"""What is logged once where redis-py is not installed."""

_LOOKS: Final = 10_000
_SCANS: Final = 50
_SCANNED: Final = 200
_Counted: TypeAlias = Literal["hits", "misses", "stale", "writes", "refused", "errors"]
_log: Final = logging.getLogger("loomwire.cache")


class RedisCache(ICacheStrategy):
    """Keeps entries in a Redis server. Safe for threads and event loops, and usable after a fork.

    It has one connection per event loop, made when it is first asked there and closed with the loop. Nothing here ends
    a look that takes long, and nothing keeps from asking a server that is down: `Shielded` around it does. A key, a
    type or bytes that are not ours, a server that wants a password, only reads, is full or still loads: a miss.

    A namespace is purged by giving it another mark, in one step whatever it holds; an entry counts while it carries
    the marks that its namespace and the whole cache have now. A mark that is lost, because the server evicted it or
    was emptied, is never found again, so nothing older can come back. A value belongs to the marks that the look had
    which missed it: what was asked for before another process purged and kept afterwards is never returned.

    Args:
        policy: Which server, and what keys begin with.
        wall: Seconds of the wall clock: entries outlive the process.
    """

    def __init__(self, policy: RedisLevel, *, wall: Callable[[], float] = time.time) -> None:
        """Connect nowhere yet."""
        self._dial = dialling(policy.url)
        self._keys = RedisKeys(policy.prefix)
        self._wall = wall
        self._closed = False
        self._missing = False
        self._trouble = ""
        self._numbers: dict[_Counted, int] = dict.fromkeys(get_args(_Counted), 0)
        # The marks that a look had which found nothing fresh, for the value that is kept after it.
        self._looks: OrderedDict[CacheKey, bytes] = OrderedDict()
        self._begin()
        _caches.add(self)

    @property
    def trouble(self) -> str:
        """What went wrong last, in a word."""
        return self._trouble

    def leave_parent(self) -> None:
        """Touch no inherited connection again; called in a forked child, by itself."""
        _abandoned.extend(line for line in (held() for held in self._lines.values()) if line is not None)
        self._begin()

    async def prepare(self) -> None:
        """Load redis-py, on a thread; where there is none the level is off, which is logged once."""
        try:
            await asyncio.get_running_loop().run_in_executor(None, importlib.import_module, "redis.asyncio")
        except ImportError:
            with self._lock:
                first, self._missing = not self._missing, True
            if first:
                _log.warning(MISSING)

    @override
    async def get(self, key: CacheKey) -> CacheEntry | None:
        try:
            found, raw = await self._look(key)
        except LineError as error:
            self._note(error, "misses")
            return None
        entry = None if raw is None else opened(key, raw, self._wall(), level=LEVEL)
        if entry is not None and entry.is_fresh:
            self._count("hits")
            return entry
        self._remember(key, found)
        self._count(*(("misses",) if entry is None else ("hits", "stale")))
        return entry

    @override
    async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
        with self._lock:
            known = self._looks.pop(key, None)
        until_ms = max(1, int((ttl_s + keep_s) * 1000))
        try:
            if known is None:
                known, _ = await self._look(key)
            raw = known + sealed(key, value, self._wall(), ttl_s, keep_s)
            await self._put("SET", self._keys.entry(key), raw, "PX", until_ms)
        except LineError as error:
            self._note(error, "refused")
            return
        self._count("writes")

    @override
    async def invalidate(self, key: CacheKey) -> bool:
        try:
            looked, _ = await self._ask(self._keys.look(key), ("UNLINK", self._keys.entry(key)))
            raw = split(looked)[1]
        except LineError as error:
            self._note(error)
            return False
        return raw is not None and opened(key, raw, self._wall()) is not None

    @override
    async def clear(self, namespace: str | None = None) -> None:
        try:
            await self._put("SET", self._keys.mark(namespace), secrets.token_bytes(MARK_BYTES))
        except LineError as error:
            self._note(error)
        with self._lock:
            # What is kept here from now on is kept after the purge.
            kept = () if namespace is None else (each for each in self._looks.items() if each[0].namespace != namespace)
            self._looks = OrderedDict(kept)

    @override
    def statistics(self) -> CacheStatistics:
        return CacheStatistics(level=LEVEL, entries=None, size_bytes=None, **self._numbers)

    @override
    async def entries(self, namespace: str | None = None, limit: int = 20) -> Sequence[EntryFacts]:
        found: list[EntryFacts] = []
        match, cursor = self._keys.pattern(namespace), b"0"
        try:
            # A server may hold millions of keys of others; what is not found soon is not shown.
            for _ in range(_SCANS):
                (answer,) = await self._ask(("SCAN", cursor, "MATCH", match, "COUNT", _SCANNED))
                cursor, names = scanned(answer)
                keys = [key for key in map(self._keys.read, names) if key and namespace in {None, key.namespace}]
                found += await self._facts(keys, limit - len(found))
                if len(found) >= limit or cursor == b"0":
                    break
        except LineError as error:
            self._note(error)
        return found

    @override
    async def aclose(self) -> None:
        self._closed = True
        own = asyncio.get_running_loop()
        with self._lock:
            lines = [held() for held in self._lines.values()]
        for line in lines:
            if line is not None and line.loop is own:
                await line.aclose()
            elif line is not None:
                line.leave()

    @property
    def _is_off(self) -> bool:
        return self._closed or self._missing

    async def _look(self, key: CacheKey) -> tuple[bytes, bytes | None]:
        """Return the marks that hold now, made when there are none, and the envelope that carries them.

        Raises:
            LineError: The server cannot be asked, or lets no mark be made.
        """
        (answer,) = await self._ask(self._keys.look(key))
        found, raw = split(answer)
        if found is None:
            fresh = [("SET", name, secrets.token_bytes(MARK_BYTES), "NX") for name in self._keys.marks(key.namespace)]
            *_, answer = await self._ask(*fresh, self._keys.look(key))
            found, raw = split(answer)
        if found is None:
            raise LineError("no mark")
        return found, raw

    async def _facts(self, keys: Sequence[CacheKey], most: int) -> list[EntryFacts]:
        facts: list[EntryFacts] = []
        for key in keys:
            if len(facts) >= most:
                break
            (answer,) = await self._ask(self._keys.look(key))
            raw = split(answer)[1]
            entry = None if raw is None else opened(key, raw, self._wall())
            if raw is not None and entry is not None:
                size, fresh_s = len(raw) + 2 * MARK_BYTES, entry.ttl_s - entry.age_s
                facts.append(EntryFacts(LEVEL, key.namespace, key.digest.hex(), size, entry.age_s, fresh_s, 0))
        return facts

    async def _put(self, *command: str | bytes | int) -> None:
        (answer,) = await self._ask(command)
        if answer != b"OK":
            raise LineError(GARBAGE)

    async def _ask(self, *commands: Command) -> Sequence[object]:
        if self._is_off:
            raise LineError("off")
        return await self._line().ask(*commands)

    def _line(self) -> RedisLine:
        if self._pid != os.getpid():
            self.leave_parent()
        loop = asyncio.get_running_loop()
        held = self._lines.get(loop)
        line = None if held is None else held()
        if line is not None and not line.left:
            return line
        line = RedisLine(self._dial)
        with self._lock:
            self._lines[loop] = weakref.ref(line)
        return line

    def _begin(self) -> None:
        self._pid = os.getpid()
        # New after a fork, because another thread of the parent may have held the old one.
        self._lock = threading.Lock()
        self._lines: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[RedisLine]] = (
            weakref.WeakKeyDictionary()
        )

    def _remember(self, key: CacheKey, found: bytes) -> None:
        with self._lock:
            # The oldest look counts: whoever made it may still be the one that keeps its value.
            self._looks.setdefault(key, found)
            if len(self._looks) > _LOOKS:
                self._looks.popitem(last=False)

    def _note(self, error: LineError, *also: _Counted) -> None:
        self._trouble = error.word
        if error.word == GARBAGE:
            self._line().distrust()
        if not self._is_off:
            also = (*also, "errors")
        self._count(*also)

    def _count(self, *what: _Counted) -> None:
        with self._lock:
            for each in what:
                self._numbers[each] += 1


_caches: weakref.WeakSet[RedisCache] = weakref.WeakSet()
# What a child inherited lives on unseen: to drop a connection is to close what the parent still uses.
_abandoned: list[RedisLine] = []


def _after_fork() -> None:
    for cache in tuple(_caches):
        cache.leave_parent()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_after_fork)
