"""DeadlineClient: one absolute deadline for a whole call, whatever happens below."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from typing_extensions import override

from loomwire.application.scopes import GRACE_S, within
from loomwire.application.streaming import Streaming
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.ports.clock import IClock
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse


class DeadlineClient(ILLMClient):
    """Fixes the deadline once and hands it down as `request.bound`; ends the call when it passes.

    The layers below end at the deadline by themselves, since only they can tell how far the call came. What does not is
    cut off 0.1 s later.

    Entering a stream is ended here too. While the caller reads, no scope is held over the caller's code: the leaf
    keeps the bound on every read.

    Args:
        inner: The client below.
        total_s: Seconds for a call whose request says nothing.
        clock: The time.
    """

    __slots__ = ("_clock", "_inner", "_total_s")

    def __init__(self, inner: ILLMClient, *, total_s: float, clock: IClock) -> None:
        """Bound every call of `inner`."""
        self._inner = inner
        self._total_s = total_s
        self._clock = clock

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        bound = request.bound_for(self._clock.now(), self._total_s)
        bounded = request if request.bound is bound else request.with_bound(bound)
        return await within(self._clock, bound.at, bound.reason, lambda: self._inner.generate(bounded), GRACE_S)

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        return _BoundedStreaming(self._inner, request, self._total_s, self._clock)

    @override
    def __repr__(self) -> str:
        return f"Deadline > {self._inner!r}"


class _BoundedStreaming(Streaming):
    """Enters a stream before the deadline."""

    __slots__ = ("_client", "_clock", "_request", "_total_s")

    def __init__(self, client: ILLMClient, request: LLMRequest, total_s: float, clock: IClock) -> None:
        super().__init__()
        self._client = client
        self._request = request
        self._total_s = total_s
        self._clock = clock

    @override
    async def opened(self) -> LLMStream:
        bound = self._request.bound_for(self._clock.now(), self._total_s)
        inner = self._client.stream(self._request.with_bound(bound))
        return await within(self._clock, bound.at, bound.reason, lambda: self.enter(inner), GRACE_S)
