"""Answers: what a cached client reads of what was kept, and what it keeps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache, partial
from typing import Final, NamedTuple, TypeVar

from loomwire.application.caching.codec import decoded, encoded
from loomwire.application.caching.pumping import LAYER, NOTHING_USED, Answered
from loomwire.application.caching.storable import why_not
from loomwire.application.caching.terms import Keeping, Likeness
from loomwire.application.resilience.stand_ins import is_exhausted
from loomwire.application.scopes import within
from loomwire.domain.caching.entries import CacheEntry, CacheKey
from loomwire.domain.caching.policies import MemoryLevel
from loomwire.domain.errors import LLMError, LLMTimeoutError
from loomwire.domain.pricing import FREE
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import Bound, LLMRequest

T = TypeVar("T")

WEEK_S: Final = 7 * 86_400.0
"""How long an answer is kept for the day on which no target answers."""

_LEAST_S: Final = 0.001


class Found(NamedTuple):
    """What there is for a request.

    Attributes:
        answer: What the caller gets; None when it has to be asked for.
        is_stale: The answer is old, and has to be renewed.
        likeness: The question that means the same, where a semantic cache only watches.
        would_be: What that one would have answered; None when its answer is gone.
    """

    answer: Answered | None = None
    is_stale: bool = False
    likeness: Likeness | None = None
    would_be: Answered | None = None


NOTHING: Final = Found()


class Answers:
    """Reads and writes answers by the terms of one client. Safe to share by tasks, threads and event loops.

    Args:
        keeping: The terms.
    """

    __slots__ = ("_keep_s", "_keeping", "_look_s", "_ttl_s")

    def __init__(self, keeping: Keeping) -> None:
        """Look nowhere yet."""
        policy = keeping.policy
        self._keeping = keeping
        # What was kept under longer terms, before an edit or by another process, is no longer fresh than that.
        self._ttl_s = policy.ttl_s * (1 + policy.ttl_jitter)
        self._keep_s = max(policy.keep_s, WEEK_S if keeping.last_resort else 0.0)
        # How long a look may take by its own limits: only near the call's deadline does anybody watch it.
        self._look_s = sum(level.timeout_s for level in policy.levels if not isinstance(level, MemoryLevel))

    async def found(self, request: LLMRequest, key: CacheKey) -> Found:
        """Return what was kept for a request and may answer it.

        Raises:
            LLMTimeoutError: The call's deadline passed.
        """
        if request.cache == "refresh":
            return NOTHING
        keeping = self._keeping
        entry = await self._entry(key, request.bound)
        if entry is None:
            return NOTHING
        late_s = self._late_s(entry)
        is_fresh = late_s < 0
        if not (is_fresh or late_s < keeping.policy.swr_s):
            return NOTHING
        response = await self._read(key, entry)
        if response is None:
            return NOTHING
        keeping.tally.note("hits" if is_fresh else "stale")
        return Found(_from_cache(response, _step(entry.level, "hit" if is_fresh else "stale")), not is_fresh)

    async def similar(self, request: LLMRequest, key: CacheKey) -> Found:
        """Return what was kept for a question that means the same.

        Raises:
            LLMTimeoutError: The call's deadline passed.
        """
        likeness = await self._likeness(request, key)
        if likeness is None:
            return NOTHING
        entry = await self._entry(likeness.key, request.bound)
        response = None if entry is None or self._late_s(entry) >= 0 else await self._read(likeness.key, entry)
        if likeness.shadow:
            if response is not None:
                self._keeping.tally.note("would_be")
            return Found(likeness=likeness, would_be=response)
        if entry is None or response is None:
            return NOTHING
        self._keeping.tally.note("similar")
        return Found(_from_cache(response, _step(entry.level, "similar")))

    def judge(self, found: Found, response: Answered) -> None:
        """Count whether what a semantic cache would have answered is what was answered."""
        similar = self._keeping.similar
        if similar is not None and found.likeness is not None:
            similar.judge(found.likeness, found.would_be, response)

    async def keep(self, request: LLMRequest, key: CacheKey, response: Answered, purged: int) -> None:
        """Keep an answer that may be kept, as long as the call has time for it. Never raises but for cancellation.

        Args:
            request: What was asked.
            key: Where to keep it.
            response: The answer.
            purged: How often its namespace was purged before it was asked; nothing older than a purge is kept.
        """
        keeping = self._keeping
        value = self._storable(request, response)
        if value is None or self._is_void(key, purged):
            keeping.tally.note("refused")
            return
        policy = keeping.policy
        ttl_s = policy.ttl_s * (1 + policy.ttl_jitter * (2 * keeping.draw() - 1))
        write = partial(keeping.store.set, key, value, ttl_s=max(ttl_s, _LEAST_S), keep_s=self._keep_s)
        try:
            await self._in_time(request.bound, self._look_s, write)
            if self._is_void(key, purged):
                # It was purged while it was on its way to a slow level.
                await keeping.store.invalidate(key)
                return
            keeping.tally.note("kept")
            if keeping.similar is not None and policy.semantic is not None:
                remember = partial(keeping.similar.remember, request, key)
                await self._in_time(request.bound, policy.semantic.timeout_s, remember)
        except LLMTimeoutError:
            # The answer is there, and goes out in time.
            return

    async def spare(self, key: CacheKey, error: LLMError) -> Answered | None:
        """Return an old answer for a call that no target answered, with the steps of the call; None without one."""
        keeping = self._keeping
        stale_s = keeping.policy.stale_if_error_s
        if not (stale_s or keeping.last_resort) or not is_exhausted(error):
            return None
        entry = await keeping.store.get(key)
        if entry is None:
            return None
        is_good = bool(stale_s) and self._late_s(entry) < stale_s
        response = await self._read(key, entry) if is_good or keeping.last_resort else None
        if response is None:
            return None
        keeping.tally.note("stale")
        steps = (*error.steps, Step(LAYER, entry.level, "stale", error.reason))
        return _from_cache(response, *steps, degraded=not is_good)

    def _late_s(self, entry: CacheEntry) -> float:
        """Return for how many seconds an entry has been stale; less than 0 while it is fresh."""
        return entry.age_s - min(entry.ttl_s, self._ttl_s)

    async def _likeness(self, request: LLMRequest, key: CacheKey) -> Likeness | None:
        similar, policy = self._keeping.similar, self._keeping.policy.semantic
        if similar is None or policy is None or request.cache == "refresh":
            return None
        find = partial(similar.find, request, key)
        return await self._in_time(request.bound, policy.timeout_s + self._look_s, find)

    async def _entry(self, key: CacheKey, bound: Bound | None) -> CacheEntry | None:
        keeping = self._keeping
        if bound is None or bound.at - keeping.clock.now() > self._look_s:
            return await keeping.store.get(key)
        return await within(keeping.clock, bound.at, bound.reason, partial(keeping.store.get, key))

    async def _in_time(self, bound: Bound | None, longest_s: float, work: Callable[[], Awaitable[T]]) -> T:
        clock = self._keeping.clock
        if bound is None or bound.at - clock.now() > longest_s:
            return await work()
        return await within(clock, bound.at, bound.reason, work)

    async def _read(self, key: CacheKey, entry: CacheEntry) -> Answered | None:
        try:
            return decoded(entry.value)
        except ValueError:
            await self._keeping.store.invalidate(key)
            return None

    def _is_void(self, key: CacheKey, purged: int) -> bool:
        return self._keeping.purges.count(key.namespace) != purged

    def _storable(self, request: LLMRequest, response: Answered) -> bytes | None:
        keeping = self._keeping
        if why_not(response, keeping.policy, keeping.equals[request.priority]) is not None:
            return None
        try:
            value = encoded(response)
        except ValueError:
            # What a client of somebody else's put into it is nothing that JSON has.
            return None
        return value if len(value) <= keeping.policy.max_entry else None


def _from_cache(response: Answered, *steps: Step, degraded: bool = False) -> Answered:
    # It was decoded a moment ago, so nobody else has it.
    response.__dict__.update(usage=NOTHING_USED, cost=FREE, cached=True, steps=steps, degraded=degraded)
    return response


@cache
def _step(level: str, outcome: str) -> Step:
    # There are few, and a frozen dataclass takes a microsecond to make.
    return Step(LAYER, level, outcome)
