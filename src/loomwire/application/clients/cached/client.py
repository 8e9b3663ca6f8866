"""CachedClient: a question that was answered before, or is being answered, is not sent again."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from typing_extensions import override

from loomwire.application.caching.flight import Flight
from loomwire.application.caching.pumping import Answered, Pump, own, shared
from loomwire.application.caching.replay import ReplayedStream
from loomwire.application.caching.terms import Keeping
from loomwire.application.clients.cached.answers import NOTHING, Answers, Found
from loomwire.application.clients.cached.seats import Seat
from loomwire.application.streaming import Streaming
from loomwire.domain.caching.entries import CacheKey
from loomwire.domain.errors import LLMError, StreamInterruptedError
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.requests import Bound, LLMRequest, Priority, Resume


class _Place(NamedTuple):
    """By what equal calls find each other.

    Whoever does not ask for restarts is never told of one, nobody waits in a line for those with less priority, what is
    there is not kept from anybody because somebody else wants it anew, and nobody gets what was asked for before a
    purge that he came after.
    """

    key: CacheKey
    resume: Resume
    priority: Priority
    is_anew: bool
    purged: int


class CachedClient(ILLMClient):
    """Answers from what was kept, and keeps what `inner` answers. Plain calls and streams share answers.

    - Equal calls that come while one is sent wait for its answer, those of one event loop and one priority; nobody's
      cancellation or deadline harms the others. A stream that is shared is read along as it comes, from its beginning,
      by those of whose time it has three quarters at least; others have one of their own.
    - Whoever sent pays: what came from a cache, or from another's call, has usage 0, cost 0 and `cached`, and a step of
      layer `cache` that says how: hit, stale, similar or shared.
    - An answer is kept before it, or the end of its stream, is handed out; a stream that does not end is not kept.
    - What was asked for before a purge is handed out to those who asked, and neither kept nor shared after it.
    - What was too slow for one caller is joined by no other one: a call that hangs harms those who wait for it already.
    - Nothing that goes wrong with a cache is an error of the call, and no look takes longer than its deadline.
    - When no target answered, an old answer may: with the steps of the failed call, and `degraded` where it is the last
      resort of `on_exhausted: stale_cache`.

    Requests that are not kept go to `inner` at once.

    Args:
        inner: The client below.
        keeping: What is kept, where, and for how long.
    """

    __slots__ = ("_answers", "_inner", "_keeping")

    def __init__(self, inner: ILLMClient, keeping: Keeping) -> None:
        """Keep the answers of `inner`."""
        self._inner = inner
        self._keeping = keeping
        self._answers = Answers(keeping)

    @override
    def generate(  # pyright: ignore[reportIncompatibleMethodOverride]  # no coroutine of its own: it returns that of inner
        self, request: LLMRequest
    ) -> Coroutine[object, None, Answered]:
        key = self._key(request)
        return self._inner.generate(request) if key is None else self._generated(request, key)

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        key = self._key(request)
        return self._inner.stream(request) if key is None else _CachedStreaming(self, request, key)

    @override
    def __repr__(self) -> str:
        return f"Cached > {self._inner!r}"

    def _key(self, request: LLMRequest) -> CacheKey | None:
        keys = self._keeping.keys
        key = keys(request) if keys.keeps(request) else None
        if key is None:
            self._keeping.tally.note("bypassed")
        return key

    async def _generated(self, request: LLMRequest, key: CacheKey) -> Answered:
        found = await self.found(request, key)
        if found.answer is not None:
            return found.answer
        keeping = self._keeping
        until = math.inf if request.bound is None else request.bound.at
        place = self._place(request, key)
        try:
            response, is_shared = await keeping.flights.joined(
                place,
                lambda: self._asked(found, request, place),
                until=until,
                unless=_broke_off,
                now=keeping.clock.now,
            )
        except LLMError as error:
            failed = error
        else:
            if not is_shared:
                return own(response)
            keeping.tally.note("shared")
            return shared(response)
        try:
            # Outside the handler, or what is raised next would carry the frames of the failed call.
            return await self.spared(key, failed)
        finally:
            # Its traceback holds this frame.
            del failed

    async def found(self, request: LLMRequest, key: CacheKey) -> Found:
        """Return what is there for a request, and what there is to know of it; an old answer is renewed behind it."""
        answers, flights = self._answers, self._keeping.flights
        place = self._place(request, key)
        if flights.is_awaited(place):
            return NOTHING
        landings = flights.landings()
        found = await answers.found(request, key)
        if found.answer is None and flights.landed_since(place, landings) and not flights.is_awaited(place):
            # A look that took its time may have missed what was kept meanwhile.
            found = await answers.found(request, key)
        if found.answer is None:
            return found if flights.is_awaited(place) else await answers.similar(request, key)
        if found.is_stale:
            now, total_s = self._keeping.clock.now(), self._keeping.total_s
            anew = request.with_bound(Bound(now + total_s))
            flights.behind(place, lambda: self._renewed(anew, place), until=now + total_s)
        return found

    async def spared(self, key: CacheKey, error: LLMError) -> Answered:
        """Return an old answer in place of an error, or raise the error."""
        answer = await self._answers.spare(key, error)
        if answer is not None:
            return answer
        try:
            raise error
        finally:
            del error

    def seat(self, found: Found, request: LLMRequest, key: CacheKey) -> Seat:
        """Return a place at the stream of a request, which is begun when nobody reads it.

        Args:
            found: What is known of the request.
            request: What to ask.
            key: Where its answer is kept.
        """
        place = self._place(request, key)

        async def keep(response: Answered) -> None:
            await self._kept(found, request, place, response)

        return Seat(self._keeping, place, request.bound, lambda: Pump(self._opening(request), keep))

    def _opening(self, request: LLMRequest) -> Callable[[], AbstractAsyncContextManager[LLMStream]]:
        def opened() -> AbstractAsyncContextManager[LLMStream]:
            self._keeping.tally.note("misses")
            return self._inner.stream(request)

        return opened

    async def _asked(self, found: Found, request: LLMRequest, place: _Place) -> Answered:
        self._keeping.tally.note("misses")
        response = await self._inner.generate(request)
        await self._kept(found, request, place, response)
        return response

    async def _renewed(self, request: LLMRequest, place: _Place) -> Answered:
        response = await self._inner.generate(request)
        await self._answers.keep(request, place.key, response, place.purged)
        return response

    async def _kept(self, found: Found, request: LLMRequest, place: _Place, response: Answered) -> None:
        self._answers.judge(found, response)
        await self._answers.keep(request, place.key, response, place.purged)

    def _place(self, request: LLMRequest, key: CacheKey) -> _Place:
        purged = self._keeping.purges.count(key.namespace)
        return _Place(key, request.resume, request.priority, request.cache == "refresh", purged)


class _CachedStreaming(Streaming):
    """Plays what is there, or takes a seat."""

    __slots__ = ("_key", "_owner", "_request")

    def __init__(self, owner: CachedClient, request: LLMRequest, key: CacheKey) -> None:
        super().__init__()
        self._owner = owner
        self._request = request
        self._key = key

    @override
    async def opened(self) -> LLMStream:
        owner, key = self._owner, self._key
        found = await owner.found(self._request, key)
        if found.answer is not None:
            return ReplayedStream(found.answer)
        try:
            return await self.enter(owner.seat(found, self._request, key))
        except LLMError as error:
            failed = error
        try:
            return ReplayedStream(await owner.spared(key, failed))
        finally:
            del failed


def _broke_off(flight: Flight[object]) -> bool:
    # A plain call would have been sent again; a stream that was read may not be.
    return isinstance(flight.work, Pump) and isinstance(flight.error, StreamInterruptedError)
