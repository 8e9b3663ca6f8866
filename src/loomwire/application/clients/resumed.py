"""ResumedClient: streams that begin anew after they broke, for those who ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from typing_extensions import override

from loomwire.application.resilience.restarts import Origin, Restarts
from loomwire.application.scopes import GRACE_S, within
from loomwire.application.streaming import Streaming
from loomwire.domain.errors import LLMError
from loomwire.domain.events import StreamEvent, StreamRestarted
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse


class ResumedClient(ILLMClient):
    """Begins a stream anew that broke after something was delivered, when its request says `resume="restart"`.

    The reader gets `StreamRestarted`, after which everything before it is void: the response holds the new answer
    only, with the usage, the cost and the steps of all. The broken stream is left before anything is waited for. The
    new one is asked for as the first one was, of the same targets in their order, within the one deadline and
    `total_attempts`; a second break begins it once more. Where that is not possible, the error of the broken stream is
    raised with exactly what was delivered; `metadata["restart"]` has the code of a restart that failed.

    Cancellation while a stream begins anew leaves nothing behind, and nothing begins for a reader that left. Requests
    that do not ask for it, and calls that are not streamed, pass through as they are.

    Args:
        inner: The client below.
        origins: The targets it may ask, at least one.
    """

    __slots__ = ("_inner", "_origins")

    def __init__(self, inner: ILLMClient, origins: Sequence[Origin]) -> None:
        """Resume the streams of `inner`."""
        self._inner = inner
        self._origins = tuple(origins)

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        return await self._inner.generate(request)

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        if request.resume == "never":
            return self._inner.stream(request)
        return _ResumedStreaming(self._inner, request, self._origins)

    @override
    def __repr__(self) -> str:
        return f"Resumed > {self._inner!r}"


class _ResumedStreaming(Streaming):
    """Enters one stream after the other, and is left once."""

    __slots__ = ("_client", "_clock", "_left", "_origins", "_request", "restarts")

    def __init__(self, client: ILLMClient, request: LLMRequest, origins: Sequence[Origin]) -> None:
        super().__init__()
        self._client = client
        self._clock = origins[0].retries.clock
        self._request = request
        self._origins = origins
        self._left = False
        self.restarts = Restarts(origins, request)

    @override
    async def opened(self) -> LLMStream:
        # A context that was left may be entered again, and is another call then.
        self._left = False
        self.restarts = Restarts(self._origins, self._request)
        return _ResumedStream(self, await self._begun())

    async def again(self) -> LLMStream | None:
        """Return the new stream, or None for a reader that left in the meantime.

        Raises:
            LLMError: It could not be begun.
        """
        if self.is_left():
            return None
        stream, bound = self._begun, self.restarts.request.bound
        begun = await (stream() if bound is None else within(self._clock, bound.at, bound.reason, stream, GRACE_S))
        if self.is_left():
            await self.leave()
            return None
        return begun

    def is_left(self) -> bool:
        """Tell whether the reader left."""
        return self._left

    async def leave(self) -> None:
        """Leave the stream that is entered; it gives back what it holds, and its error has its steps then."""
        await super().__aexit__(None, None, None)

    async def _begun(self) -> LLMStream:
        return await self.enter(self._client.stream(self.restarts.request))

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left = True
        await super().__aexit__(kind, error, trace)


class _ResumedStream(LLMStream):
    """What the reader reads, whichever stream it comes from; it is its own iterator."""

    __slots__ = ("_broken", "_error", "_events", "_stream", "_streaming")

    def __init__(self, streaming: _ResumedStreaming, stream: LLMStream) -> None:
        self._streaming = streaming
        self._stream = stream
        self._events = stream.__aiter__()
        self._broken: LLMError | None = None
        self._error: LLMError | None = None

    @override
    def __aiter__(self) -> _ResumedStream:
        return self

    async def __anext__(self) -> StreamEvent:
        """Return the next event."""
        if self._broken is not None:
            self._error = self._broken
            raise self._broken
        try:
            return self._streaming.restarts.delivered(await self._events.__anext__())
        except LLMError as error:
            # Set until the new stream is there: one that was not begun, because it was cancelled, never is.
            self._broken = error
            if self._streaming.is_left():
                self._error = error
                raise
        return await self._begun_anew(self._broken)

    @property
    @override
    def response(self) -> LLMResponse[str]:
        return self._streaming.restarts.told(self._stream.response)

    @property
    @override
    def error(self) -> LLMError | None:
        return self._error

    @property
    @override
    def finished(self) -> bool:
        return self._stream.finished

    async def _begun_anew(self, error: LLMError) -> StreamRestarted:
        streaming, restarts = self._streaming, self._streaming.restarts
        try:
            await streaming.leave()
            wait_s = restarts.failed(error)
            if wait_s is not None:
                await restarts.rest(error, wait_s)
                if await self._replaced(error):
                    return StreamRestarted(error.reason)
            self._error = error
            raise error
        finally:
            # Its traceback holds this frame.
            del error

    async def _replaced(self, error: LLMError) -> bool:
        try:
            stream = await self._streaming.again()
        except LLMError as refusal:
            self._streaming.restarts.refused(error, refusal)
            return False
        if stream is None:
            return False
        self._streaming.restarts.begun(error)
        self._stream, self._events, self._broken = stream, stream.__aiter__(), None
        return True
