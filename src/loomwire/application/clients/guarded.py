"""GuardedClient: a client surrounded by a guard."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from types import TracebackType

from typing_extensions import override

from loomwire.application.guard import Guard, Outcome
from loomwire.application.state.pacing.measured import MeasuredOperation
from loomwire.application.streaming import Streaming, WrappedStream
from loomwire.domain.errors import LLMError, LoomError
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse


class GuardedClient(ILLMClient):
    """Surrounds every call of `inner` with `guard` and notes the guard's step on the answer or the error."""

    __slots__ = ("_guard", "_inner")

    def __init__(self, inner: ILLMClient, guard: Guard) -> None:
        """Surround `inner`."""
        self._inner = inner
        self._guard = guard

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        async with self._guard.around(MeasuredOperation(request, streamed=False)) as outcome:
            try:
                response = await self._inner.generate(request)
            except LoomError as error:
                outcome.failed(error)
                _note(error, outcome)
                raise
            except Exception as error:
                # A client of somebody else's broke its promise: its error goes on as it is, and counts.
                outcome.failed(LLMError(f"the client raised {type(error).__name__}", reason="internal"))
                raise
            _tell(outcome, response)
            return response if outcome.step is None else response.with_step(outcome.step)

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        around = self._guard.around(MeasuredOperation(request, streamed=True))
        return _GuardedStreaming(around, self._inner, request)

    @override
    def __repr__(self) -> str:
        return f"{self._guard!r} > {self._inner!r}"


def _note(error: LoomError, outcome: Outcome) -> None:
    if outcome.step is not None:
        error.with_step(outcome.step)


def _tell(outcome: Outcome, response: LLMResponse[str]) -> None:
    if response.degraded:
        outcome.stood_in(response.steps[-1].reason if response.steps else "")
        return
    outcome.answered(response.usage, response.cost, response.model)
    if response.rate_limits is not None:
        outcome.heard(response.rate_limits)


class _GuardedStreaming(Streaming):
    """Enters the guard, then the stream; leaves the stream, judges it, then leaves the guard."""

    __slots__ = ("_around", "_client", "_outcome", "_request", "_stream")

    def __init__(self, around: AbstractAsyncContextManager[Outcome], client: ILLMClient, request: LLMRequest) -> None:
        super().__init__()
        self._around = around
        self._client = client
        self._request = request
        self._outcome: Outcome | None = None
        self._stream: LLMStream | None = None

    @override
    async def opened(self) -> LLMStream:
        outcome = await self._around.__aenter__()
        try:
            stream = await self.enter(self._client.stream(self._request))
        except BaseException as error:
            if isinstance(error, LoomError):
                outcome.failed(error)
                _note(error, outcome)
            await self._around.__aexit__(type(error), error, error.__traceback__)
            raise
        outcome.began()
        self._outcome, self._stream = outcome, stream
        return _JudgedStream(stream, outcome)

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, trace)
        finally:
            self._judge()
            await self._around.__aexit__(kind, error, trace)

    def _judge(self) -> None:
        # By the stream's own state, never by what leaves the body: that may be the caller's own error.
        stream, outcome = self._stream, self._outcome
        if stream is None or outcome is None or outcome.step is not None:
            return
        if stream.error is not None:
            outcome.failed(stream.error)
            _note(stream.error, outcome)
        elif stream.finished:
            _tell(outcome, stream.response)


class _JudgedStream(WrappedStream):
    """The inner stream, with the guard's step on its response. Iterating costs nothing extra."""

    __slots__ = ("_outcome",)

    def __init__(self, inner: LLMStream, outcome: Outcome) -> None:
        super().__init__(inner)
        self._outcome = outcome

    @property
    @override
    def response(self) -> LLMResponse[str]:
        response = self.inner.response
        if self._outcome.step is None:
            _tell(self._outcome, response)
        return response if self._outcome.step is None else response.with_step(self._outcome.step)
