"""RetryingClient: the only retry of the library, for one target."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from types import TracebackType

from typing_extensions import override

from loomwire.application.resilience.course import Course, Retries
from loomwire.application.streaming import Streaming, WrappedStream
from loomwire.domain.errors import LoomError
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse


class RetryingClient(ILLMClient):
    """Asks the same target again after failures whose disposition allows it; everything else is raised as it came.

    A stream is asked again only while it is being entered. No attempt starts with less than `min_attempt_s` left, the
    first included, and nobody waits for an attempt that could not start: the last error is raised at once, so that
    another target can use the time. The answer or the error carries the steps of all attempts. Errors that are no
    `LoomError`, and cancellation, pass through untouched, also out of a wait.

    The first send is never counted against `total_attempts`: whoever asks several targets, or asks for another answer,
    looks before it does.

    Args:
        inner: The client below.
        retries: The terms.
    """

    __slots__ = ("_inner", "_retries")

    def __init__(self, inner: ILLMClient, retries: Retries) -> None:
        """Retry the calls of `inner`."""
        self._inner = inner
        self._retries = retries

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        retries = self._retries
        retries.check_time(request.bound)
        course: Course[LLMRequest] | None = None
        while True:
            try:
                response = await self._inner.generate(request if course is None else course.request)
            except LoomError as error:
                course = course or Course(retries, request)
                wait_s = course.failed(error)
                if wait_s is None:
                    raise
            else:
                if course is not None:
                    return course.told(response)
                retries.first_sent()
                return response
            # Outside the handler, or the next failure would carry this one, and its frames, as its context.
            await course.rest(wait_s)

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        return _RetryingStreaming(self._inner, self._retries, request)

    @override
    def __repr__(self) -> str:
        return f"Retrying({self._retries.policy.attempts}) > {self._inner!r}"


class _RetryingStreaming(Streaming):
    """Enters the stream, as often as it takes; then nobody sends again."""

    __slots__ = ("_client", "_request", "_retries", "_steps", "_stream")

    def __init__(self, client: ILLMClient, retries: Retries, request: LLMRequest) -> None:
        super().__init__()
        self._client = client
        self._retries = retries
        self._request = request
        self._steps: tuple[Step, ...] = ()
        self._stream: LLMStream | None = None

    @override
    async def opened(self) -> LLMStream:
        retries, request = self._retries, self._request
        retries.check_time(request.bound)
        course: Course[LLMRequest] | None = None
        while True:
            try:
                stream = await self.enter(self._client.stream(request if course is None else course.request))
            except LoomError as error:
                course = course or Course(retries, request)
                wait_s = course.failed(error)
                if wait_s is None:
                    raise
            else:
                return self._taken(stream, course)
            await course.rest(wait_s)

    def _taken(self, stream: LLMStream, course: Course[LLMRequest] | None) -> LLMStream:
        if course is None:
            self._retries.first_sent()
            return stream
        self._steps, self._stream = course.steps, stream
        return _RetriedStream(stream, course)

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, trace)
        finally:
            # After the layers below noted theirs, which they do when they are left.
            stream, self._stream = self._stream, None
            broken = None if stream is None else stream.error
            if broken is not None:
                broken.steps = (*self._steps, *broken.steps)


class _RetriedStream(WrappedStream):
    """A stream that came after failed attempts, with their steps on its response."""

    __slots__ = ("_course",)

    def __init__(self, inner: LLMStream, course: Course[LLMRequest]) -> None:
        super().__init__(inner)
        self._course = course

    @property
    @override
    def response(self) -> LLMResponse[str]:
        return self._course.told(self.inner.response)
