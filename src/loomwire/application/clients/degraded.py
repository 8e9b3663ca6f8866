"""DegradedClient: the last resort of a call that no target answered."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final

from typing_extensions import override

from loomwire.application.resilience.stand_ins import LAYER, StandIn, is_exhausted, stand_in
from loomwire.application.scopes import within
from loomwire.application.streaming import Streaming
from loomwire.domain.errors import LLMError, LoomError, StreamInterruptedError
from loomwire.domain.events import Finished, StreamEvent, TextDelta
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.ports.clock import IClock
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse

GRACE_S: Final = 0.1
"""Seconds that a function has when the call's deadline has passed."""

_log = logging.getLogger("loomwire.degraded")


class DegradedClient(ILLMClient):
    """Answers in place of the targets when none of them answered, and says so: `degraded` is set on the answer.

    Only what the targets failed at is answered for, a passed deadline included; what is wrong with the call itself is
    raised as ever, and so is cancellation. A stream is answered for while it is being entered, never after that. The
    answer carries the steps of the failed call and one more with the reason; it is free, and observers count the call
    as failed.

    A function has the time that is left, 0.1 s at least. When it raises, takes longer or returns no text, the call ends
    with its own error, which has a step more and what was raised as `original_error`. A function that is not async runs
    in the event loop and must not wait.

    Args:
        inner: The client below.
        answer: Makes the text.
        mode: How; it stands where the answer names its model.
        total_s: Seconds for a call whose request says nothing, as the client's deadline has it.
        clock: The time.
    """

    __slots__ = ("_answer", "_clock", "_inner", "_mode", "_total_s")

    def __init__(self, inner: ILLMClient, answer: StandIn, *, mode: str, total_s: float, clock: IClock) -> None:
        """Stand in for `inner`."""
        self._inner = inner
        self._answer = answer
        self._mode = mode
        self._total_s = total_s
        self._clock = clock

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        bounded = self.bounded(request)
        try:
            return await self._inner.generate(bounded)
        except LLMError as error:
            if not is_exhausted(error):
                raise
            failed = error
        try:
            # Outside the handler, or whatever the function raises would carry the frames of the failed call.
            return await self.answered(bounded, failed)
        finally:
            # Its traceback holds this frame.
            del failed

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        return _DegradedStreaming(self, self._inner, request)

    @override
    def __repr__(self) -> str:
        return f"Degraded({self._mode}) > {self._inner!r}"

    async def answered(self, request: LLMRequest, error: LLMError) -> LLMResponse[str]:
        """Return the stand-in for a call that ended in an error, or raise that error."""
        now = self._clock.now()
        end = now + GRACE_S if request.bound is None else max(request.bound.at, now + GRACE_S)
        reason = "hook"
        try:
            text = await within(self._clock, end, "deadline", partial(self._answer, request, error))
            return stand_in(text, self._mode, error)
        except Exception as failure:  # noqa: BLE001  # the host's function may raise anything
            if isinstance(failure, LoomError):
                reason = failure.reason
            # Its words may hold the prompt, so they are no matter for a log.
            error.original_error = error.original_error or failure
            _log.warning("the function of on_exhausted gave no answer (%s)", type(failure).__name__)
        error.steps = (*error.steps, Step(LAYER, "", "failed", reason))
        try:
            raise error
        finally:
            del error

    def bounded(self, request: LLMRequest) -> LLMRequest:
        """Return the request with its deadline, so that the function is held to it too."""
        return request.bounded(self._clock.now(), self._total_s)


class _DegradedStreaming(Streaming):
    """Enters the stream, or one of the stand-in."""

    __slots__ = ("_client", "_owner", "_request")

    def __init__(self, owner: DegradedClient, client: ILLMClient, request: LLMRequest) -> None:
        super().__init__()
        self._owner = owner
        self._client = client
        self._request = request

    @override
    async def opened(self) -> LLMStream:
        bounded = self._owner.bounded(self._request)
        try:
            return await self.enter(self._client.stream(bounded))
        except LLMError as error:
            if not is_exhausted(error):
                raise
            failed = error
        try:
            return _StandInStream(await self._owner.answered(bounded, failed))
        finally:
            del failed


class _StandInStream(LLMStream):
    """A stream of a text that is there already."""

    __slots__ = ("_response", "_said", "_whole")

    def __init__(self, response: LLMResponse[str]) -> None:
        self._response = response
        self._said = ""
        self._whole = False

    @override
    async def __aiter__(self) -> AsyncIterator[StreamEvent]:
        self._said = self._response.text
        yield TextDelta(self._said)
        self._whole = True
        yield Finished(self._response.finish)

    @property
    @override
    def response(self) -> LLMResponse[str]:
        if not self._whole:
            raise StreamInterruptedError("the stream has not been read to its end", partial_text=self._said)
        return self._response
