"""One stream over the wire: bytes to events, with exactly one end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from typing_extensions import override

from loomwire.domain.errors import LLMError, StreamInterruptedError, llm_error
from loomwire.domain.events import StreamEvent
from loomwire.domain.faults import ErrorCategory
from loomwire.domain.policies import KIB
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.pool import WireAnswer
from loomwire.domain.reports.context import ErrorContext
from loomwire.domain.responses import LLMResponse
from loomwire.infrastructure.providers.wire.answer import Answer, AnswerView
from loomwire.infrastructure.providers.wire.dialect import Dialect
from loomwire.infrastructure.providers.wire.errors import says_error

DRAIN_BYTES = 64 * KIB
DRAIN_S = 0.5


class WireStream(AnswerView):
    """A stream that is being read; it is its own iterator, and pulls bytes only when asked for an event.

    It ends in exactly one way: after `Finished`, or with an error, which further reads raise again. An error after
    something was delivered is a `StreamInterruptedError` with the partial answer: a broken connection has the reason
    stream_interrupted; a time limit, a size limit or an error that the provider reports keeps its own reason and
    category, and of its disposition what does not send again. `metadata["cause"]` always names the reason of what
    happened.

    Args:
        exchange: The answer whose body is the stream.
        answer: Collects what comes.
        dialect: Reads it.
        clock: For the drain after the end.
        release: Gives the connection back; called once.
        tell: Called with the error that ends the stream, to complete it before anybody sees it.
    """

    __slots__ = (
        "_at_end",
        "_buffer",
        "_chunks",
        "_clock",
        "_closed",
        "_dialect",
        "_exchange",
        "_failure",
        "_framer",
        "_reader",
        "_release",
        "_tell",
    )

    def __init__(
        self,
        exchange: WireAnswer,
        answer: Answer,
        dialect: Dialect,
        clock: IClock,
        release: Callable[[], None],
        tell: Callable[[LLMError], None],
    ) -> None:
        """Read nothing yet."""
        super().__init__(answer)
        self._exchange = exchange
        self._dialect = dialect
        self._clock = clock
        self._release = release
        self._tell = tell
        self._chunks = exchange.chunks()
        self._framer = dialect.framer(answer.config.limits)
        self._reader = dialect.reader(answer)
        self._buffer: list[StreamEvent] = []
        self._failure: LLMError | None = None
        self._at_end = False
        self._closed = False

    @override
    def __aiter__(self) -> WireStream:
        return self

    async def __anext__(self) -> StreamEvent:
        """Return the next event."""
        buffer = self._buffer
        while not buffer:
            await self._advance()
            # Newest first, so that an event is taken with one pop() from the end.
            buffer.reverse()
        return buffer.pop()

    @property
    @override
    def response(self) -> LLMResponse[str]:
        if self._buffer and self._answer.finished:
            raise self._answer.interrupted("the stream has not been read to its end")
        return self._answer.result()

    @property
    @override
    def finished(self) -> bool:
        # A short answer is here as a whole before its first event was taken.
        return self._answer.finished and not self._buffer

    async def begin(self) -> None:
        """Wait for the first event that a caller can see.

        Raises:
            LLMError: Nothing was delivered before it, so the request may be sent again.
        """
        answer = self._answer
        while not (answer.delivered or answer.finished):
            if self._failure is not None:
                answer.error = self._failure
                raise self._failure
            await self._advance()
        self._buffer.reverse()

    async def begin_whole(self) -> int:
        """Take a whole answer from a server that does not stream, though it was asked to; returns its bytes.

        Raises:
            LLMError: The body reports an error, or holds no answer.
        """
        body = await self._exchange.read()
        self._buffer += self._dialect.decode(body, self._answer)
        self._buffer.reverse()
        self._at_end = True
        return len(body)

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else close it. Never waits, idempotent."""
        if not self._closed:
            self._closed = True
            self._exchange.close()
            self._release()

    async def _advance(self) -> None:
        if self._failure is not None:
            raise self._interruption(self._failure)
        if self._answer.finished:
            await self._drain()
            raise StopAsyncIteration
        if self._closed:
            raise self._interruption(self._answer.interrupted("the stream was left before its end"))
        failed: LLMError | None = None
        try:
            data = await self._chunks.__anext__()
            self._take(self._framer.feed(data))
            failed = self._framer.failure
            if failed is None:
                return
        except StopAsyncIteration:
            self._at_end = True
        except LLMError as error:
            failed = error.with_traceback(None)
        # Not in a handler: a context would come with what is made here, and its frames hold the answer.
        if failed is None:
            self._take_end()
        else:
            self._take_failure(failed)

    def _take(self, events: Sequence[tuple[str, bytes]]) -> None:
        answer, buffer, decode_event = self._answer, self._buffer, self._reader.decode_event
        try:
            for event, data in events:
                buffer += decode_event(event, data)
                if answer.finished:
                    return
        except LLMError as error:
            self._fail(error)

    def _fail(self, error: LLMError) -> None:
        # The frames below hold what the server sent, which may echo the key.
        self._failure = error.with_traceback(None)

    def _take_end(self) -> None:
        self._take(self._framer.flush())
        if self._failure is not None or self._answer.finished:
            return
        stray = b"" if self._answer.finish_wire is not None else self._framer.stray
        try:
            if not stray:
                self._buffer += self._ended()
            elif self._dialect.answer_mark in stray and not self._answer.delivered:
                self._buffer += self._dialect.decode(stray, self._answer)
            elif says_error(stray, self._answer.config):
                self._failure = self._dialect.error_for(200, {}, stray, self._answer.config)
            else:
                self._failure = llm_error("protocol", "the stream holds JSON that is neither an answer nor an error")
        except LLMError as error:
            self._fail(error)

    def _ended(self) -> Sequence[StreamEvent]:
        try:
            return self._reader.end()
        except LLMError as error:
            if error.reason != "protocol" or self._answer.delivered or not self._framer.unfinished:
                raise
        # Half of an event, and nothing before it: whoever sent it was going to say more.
        raise llm_error("eof", "the connection ended inside the first event of the stream")

    def _take_failure(self, error: LLMError) -> None:
        if self._failure is not None or self._answer.finished:
            return
        if self._answer.finish_wire is None:
            self._fail(error)
            return
        # The provider said why it stopped, so nothing of the answer is missing.
        self._at_end = True
        try:
            self._buffer += self._reader.end()
        except LLMError as unfit:
            self._fail(unfit)

    def _interruption(self, error: LLMError) -> LLMError:
        answer = self._answer
        if answer.error is None:
            answer.error = _interrupted(error, answer)
            self._tell(answer.error)
        return answer.error

    async def _drain(self) -> None:
        """Read what follows the end, so that the connection can be used again; not much, and not for long."""
        left = 0 if self._at_end or self._closed else DRAIN_BYTES
        until = self._clock.now() + DRAIN_S
        with suppress(StopAsyncIteration, TimeoutError, LLMError):
            while left > 0:
                async with self._clock.timeout_at(until):
                    left -= len(await self._chunks.__anext__())
        self.close()


def _interrupted(error: LLMError, answer: Answer) -> StreamInterruptedError:
    if isinstance(error, StreamInterruptedError):
        made = error
    else:
        context: ErrorContext = {
            "reason": None if error.category is ErrorCategory.NETWORK else error.reason,
            "endpoint": error.endpoint,
            "status": error.status,
            "retry_after": error.retry_after,
            "provider_code": error.provider_code,
            "provider_message": error.provider_message,
        }
        made = answer.interrupted(f"the stream broke off: {error.message}", **context)
        if error.category is not ErrorCategory.NETWORK:
            made.category, made.retryable, made.disposition = error.category, error.retryable, error.disposition
    made.disposition = made.disposition.after_delivery()
    made.phase = "stream_after_token"
    made.metadata = {"cause": error.reason}
    return made
