"""TimedClient: the time limits of one attempt."""

from __future__ import annotations

import math
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from typing_extensions import override

from loomwire.application.scopes import within
from loomwire.application.streaming import Streaming
from loomwire.domain.errors import LLMTimeoutError
from loomwire.domain.policies import TimeoutPolicy
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.ports.clock import IClock
from loomwire.domain.requests import Bound, LLMRequest
from loomwire.domain.responses import LLMResponse


class TimedClient(ILLMClient):
    """Ends an attempt after `attempt_s`, and a stream that shows nothing within `ttft_s`.

    Connecting, queueing and silence between two reads belong to the transport. An attempt that would outlast the
    call's own bound ends with it and has its reason; ended here, the error tells of the attempt and of all before it.
    Where another target waits for its turn (`Bound.enter_by`) it ends the attempt earlier: seen from here that is the
    target's failure, not the caller's wish, unless most of the target's share was over before the attempt began.

    Args:
        inner: The client below.
        timeouts: The limits.
        clock: The time.
    """

    __slots__ = ("_clock", "_inner", "_timeouts")

    def __init__(self, inner: ILLMClient, *, timeouts: TimeoutPolicy, clock: IClock) -> None:
        """Limit every attempt of `inner`."""
        self._inner = inner
        self._timeouts = timeouts
        self._clock = clock

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        given, began = request.bound, self._clock.now()
        end = began + self._timeouts.attempt_s
        if given is not None:
            end = min(end, given.enter_by)
            if given.at <= end:
                return await within(self._clock, given.at, given.reason, lambda: self._inner.generate(request))
        bound = Bound(end, "attempt")
        narrowed = request.with_bound(bound)
        try:
            return await within(self._clock, bound.at, bound.reason, lambda: self._inner.generate(narrowed))
        except LLMTimeoutError as error:
            _judge(error, given, began, self._timeouts.attempt_s)
            raise

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        return _TimedStreaming(self._inner, request, self._timeouts, self._clock)

    @override
    def __repr__(self) -> str:
        return f"Timed > {self._inner!r}"


class _TimedStreaming(Streaming):
    """Enters a stream within the first-token limit or the bound, whichever ends first."""

    __slots__ = ("_client", "_clock", "_request", "_timeouts")

    def __init__(self, client: ILLMClient, request: LLMRequest, timeouts: TimeoutPolicy, clock: IClock) -> None:
        super().__init__()
        self._client = client
        self._request = request
        self._timeouts = timeouts
        self._clock = clock

    @override
    async def opened(self) -> LLMStream:
        now = self._clock.now()
        given, bound = self._request.bound, Bound(now + self._timeouts.attempt_s, "attempt")
        enter_by = math.inf
        if given is not None:
            enter_by = given.enter_by
            if given.at <= bound.at:
                bound = given
        inner = self._client.stream(self._request.with_bound(bound))
        at, reason = min((bound.at, bound.reason), (now + self._timeouts.ttft_s, "ttft"), (enter_by, "attempt"))
        try:
            return await within(self._clock, at, reason, lambda: self.enter(inner))
        except LLMTimeoutError as error:
            _judge(error, given, now, self._timeouts.attempt_s)
            raise


def _judge(error: LLMTimeoutError, given: Bound | None, began: float, attempt_s: float) -> None:
    # Whoever waited in line for most of the target's share left it no time to fail in.
    if given is None or error.reason != "attempt" or given.enter_by >= began + attempt_s:
        return
    if given.enter_by - began < given.share_s / 2:
        error.disposition = replace(error.disposition, trips_breaker=False)
