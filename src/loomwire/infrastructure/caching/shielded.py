"""Shielded: an outer level that may be slow or broken, and is left alone while it is."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import weakref
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeAlias, TypeVar, runtime_checkable

from typing_extensions import override

from loomwire.domain.caching.entries import CacheEntry, CacheKey, CacheStatistics, EntryFacts
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.infrastructure.caching.patience import Patience

_IN_A_ROW: Final = 3
_FIRST_REST_S: Final = 1.0
_LONGEST_REST_S: Final = 60.0
_PATIENCE_S: Final = 5.0
_MOST_OWED: Final = 16
_MOST_DOUBTED: Final = 4096
_log: Final = logging.getLogger("loomwire.cache")
_T = TypeVar("_T")
_Owed: TypeAlias = CacheKey | str | None


@runtime_checkable
class Prepared(Protocol):
    """A level that needs something slow before its first look, such as a library."""

    @abstractmethod
    async def prepare(self) -> None:
        """Get it. Awaited before the first look and outside its time; never raises but for cancellation."""


@runtime_checkable
class Telling(Protocol):
    """A level that says what went wrong last."""

    @property
    @abstractmethod
    def trouble(self) -> str:
        """One or a few words; no key, value, address or password."""


@dataclass(slots=True)
class _Numbers:
    """What was counted here, on top of what the level itself counts."""

    misses: int = 0
    refused: int = 0
    errors: int = 0


class Shielded(ICacheStrategy):
    """Keeps a level that is slow or broken from being felt. Safe for threads and event loops, and usable after a fork.

    A look or write that takes longer than its time is a miss, and counted as an error. After three failures in a row
    the level rests for 1 s, then twice as long after every failed try, up to 60 s; one try is made at the end of each
    rest. That the level swallowed a failure shows in its `statistics().errors`. A line is logged when the first rest
    begins, and one when the level works again.

    What should have been purged while it could not be is purged before anything is got from it again. What stands where
    something newer could not be set is never got. Both is known in this process only, and nowhere after its end.

    Args:
        inner: The level.
        timeout_s: For one look or write, in seconds; purging and listing have 5 s.
        now: Monotonic seconds.

    Attributes:
        inner: The level.
    """

    def __init__(self, inner: ICacheStrategy, *, timeout_s: float, now: Callable[[], float]) -> None:
        """Trust it for now."""
        self.inner = inner
        self._timeout_s = timeout_s
        self._now = now
        self._unprepared = inner if isinstance(inner, Prepared) else None
        self._patience = Patience()
        self._numbers = _Numbers()
        self._seen_errors = inner.statistics().errors
        # How often it was found to have failed, ever and in a row.
        self._failures = 0
        self._streak = 0
        self._works = 0
        self._rest_s = 0.0
        self._until = 0.0
        self._is_trying = False
        self._rested_at = 0.0
        self._owed: frozenset[_Owed] = frozenset()
        self._doubted: set[CacheKey] = set()
        self.after_fork()
        _shields.add(self)

    def after_fork(self) -> None:
        """Take a lock of its own in a child."""
        self._lock = threading.Lock()

    def adapt(self, timeout_s: float) -> None:
        """Give every look and write another time from now on, in seconds."""
        self._timeout_s = timeout_s

    @override
    async def get(self, key: CacheKey) -> CacheEntry | None:
        if self._unprepared is not None:
            await self._prepare(self._unprepared)
        if not self._may_ask() or (self._owed and not await self._pay()):
            self._count(misses=1)
            return None
        if key in self._doubted:
            await self._forgotten(key, self._timeout_s)
            self._count(misses=1)
            return None
        entry, is_known = await self._looked(key)
        if not is_known:
            self._count(misses=1)
        return entry

    @override
    async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
        if self._unprepared is not None:
            await self._prepare(self._unprepared)
        is_kept = False
        try:
            if self._may_ask() and (not self._owed or await self._pay()):
                _, is_kept = await self._tried(self.inner.set(key, value, ttl_s=ttl_s, keep_s=keep_s), self._timeout_s)
            else:
                self._count(refused=1)
        finally:
            if not is_kept or self._doubted:
                self._doubt(key, is_kept=is_kept)

    @override
    async def invalidate(self, key: CacheKey) -> bool:
        # Asked also while the level rests: what is not forgotten now would come back.
        return bool(await self._forgotten(key, _PATIENCE_S))

    @override
    async def clear(self, namespace: str | None = None) -> None:
        await self._forgotten(namespace, _PATIENCE_S)

    @override
    def statistics(self) -> CacheStatistics:
        inner, own = self.inner.statistics(), self._numbers
        return replace(
            inner,
            misses=inner.misses + own.misses,
            refused=inner.refused + own.refused,
            errors=inner.errors + own.errors,
            resting_s=max(0.0, self._until - self._now()) if self._rest_s else 0.0,
        )

    @override
    async def entries(self, namespace: str | None = None, limit: int = 20) -> Sequence[EntryFacts]:
        found, _ = await self._tried(self.inner.entries(namespace, limit), _PATIENCE_S)
        return () if found is None or self._owed else found

    @override
    async def sweep(self) -> int:
        return 0 if self._rest_s else await self.inner.sweep()

    @override
    def resize(self, share: float) -> None:
        self.inner.resize(share)

    @override
    async def aclose(self) -> None:
        await self._tried(self.inner.aclose(), _PATIENCE_S)

    async def _prepare(self, inner: Prepared) -> None:
        await inner.prepare()
        self._unprepared = None

    def _may_ask(self) -> bool:
        if not self._rest_s:
            return True
        now = self._now()
        with self._lock:
            if now < self._until:
                return False
            # One may try; should nothing be heard of it, the next one may after another rest.
            self._until = now + self._rest_s
            self._is_trying = True
            return True

    async def _looked(self, key: CacheKey) -> tuple[CacheEntry | None, bool]:
        """Look; return what was found, and whether the level counted the look."""
        failures, works = self._failures, self._works
        look = self._patience.begin(self._timeout_s)
        try:
            entry = await self.inner.get(key)
        except asyncio.CancelledError:
            if not look.end():
                self._left()
                raise
            self._was_late(works)
            return None, False
        except Exception as error:  # noqa: BLE001  # a level that breaks its promise is a miss
            look.end()
            self._broke(type(error).__name__)
            return None, False
        look.end()
        if entry is None:
            self._judge(failures)
        else:
            self._worked()
        return entry, True

    async def _tried(self, doing: Awaitable[_T], within_s: float) -> tuple[_T | None, bool]:
        """Have something done; return what it gave, and whether nothing speaks against that it was done."""
        failures, works = self._failures, self._works
        try:
            async with asyncio.timeout(within_s):
                found = await doing
        except TimeoutError:
            self._was_late(works)
            return None, False
        except Exception as error:  # noqa: BLE001  # as above
            self._broke(type(error).__name__)
            return None, False
        except asyncio.CancelledError:
            self._left()
            raise
        self._judge(failures)
        return found, failures == self._failures

    async def _forgotten(self, what: _Owed, within_s: float) -> bool | None:
        """Have the level forget something, and remember that when it failed."""
        inner = self.inner
        forgetting = inner.invalidate(what) if isinstance(what, CacheKey) else inner.clear(what)
        is_done = False
        try:
            found, is_done = await self._tried(forgetting, within_s)
        finally:
            with self._lock:
                self._owed = _owing(self._owed - {what} if is_done else self._owed | {what})
                if is_done and isinstance(what, CacheKey):
                    self._doubted.discard(what)
        return found

    def _doubt(self, key: CacheKey, *, is_kept: bool) -> None:
        """Remember that something older may stand at a key, or that it does no more."""
        with self._lock:
            if is_kept:
                self._doubted.discard(key)
                return
            self._doubted.add(key)
            if len(self._doubted) > _MOST_DOUBTED:
                self._owed = _owing(self._owed | {each.namespace for each in self._doubted})
                self._doubted.clear()

    async def _pay(self) -> bool:
        """Forget what should have been forgotten; tell whether nothing is owed any more."""
        for owed in self._owed:
            await self._forgotten(owed, self._timeout_s)
            if owed in self._owed:
                return False
        return not self._owed

    def _judge(self, failures: int) -> None:
        """Look whether the level swallowed a failure."""
        errors = self.inner.statistics().errors
        with self._lock:
            grown, self._seen_errors = errors - self._seen_errors, errors
        if grown > 0:
            self._failed(grown)
        elif failures == self._failures:
            self._worked()

    def _was_late(self, works: int) -> None:
        # While others were answered, our own loop is what was too busy, and the level is well.
        if works == self._works:
            self._broke("no answer in time")
        else:
            self._count(errors=1)

    def _broke(self, why: str) -> None:
        self._count(errors=1)
        self._failed(1, why)

    def _left(self) -> None:
        # Whoever tried was cancelled: nothing is known, and the next one may try at once.
        if self._is_trying:
            self._is_trying, self._until = False, self._now()

    def _failed(self, times: int, why: str = "") -> None:
        now = self._now()
        with self._lock:
            self._failures += times
            self._streak += times
            begins = not self._rest_s
            if begins and self._streak < _IN_A_ROW:
                return
            if begins:
                self._rested_at, self._rest_s = now, _FIRST_REST_S
            elif self._is_trying:
                self._rest_s = min(2 * self._rest_s, _LONGEST_REST_S)
            else:
                return  # it was asked before the rest began, or to forget something
            self._until, self._is_trying = now + self._rest_s, False
        if begins:
            level = self.inner.statistics().level
            trouble = why or (self.inner.trouble if isinstance(self.inner, Telling) else "failed")
            _log.warning("cache level %s failed %d times in a row (%s): left alone", level, self._streak, trouble)

    def _worked(self) -> None:
        self._works += 1
        if not self._streak:
            return
        with self._lock:
            rested = self._rest_s
            self._streak, self._rest_s, self._until, self._is_trying = 0, 0.0, 0.0, False
        if rested:
            after = self._now() - self._rested_at
            _log.warning("cache level %s works again after %.1f s", self.inner.statistics().level, after)

    def _count(self, *, misses: int = 0, refused: int = 0, errors: int = 0) -> None:
        with self._lock:
            self._numbers.misses += misses
            self._numbers.refused += refused
            self._numbers.errors += errors


def _owing(owed: frozenset[_Owed]) -> frozenset[_Owed]:
    """Return the same in few words: all of a namespace instead of many entries, everything instead of many of those."""
    if len(owed) > _MOST_OWED:
        owed = frozenset(each.namespace if isinstance(each, CacheKey) else each for each in owed)
    return frozenset({None}) if len(owed) > _MOST_OWED else owed


_shields: weakref.WeakSet[Shielded] = weakref.WeakSet()


def _after_fork() -> None:
    for shield in tuple(_shields):
        shield.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_after_fork)
