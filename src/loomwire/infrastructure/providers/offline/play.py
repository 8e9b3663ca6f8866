"""Plays described replies, so that `mock`, `rule` and the scripted test client answer without a network."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from itertools import chain
from types import TracebackType
from typing import Final, final

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, llm_error
from loomwire.domain.events import StreamEvent
from loomwire.domain.messages import Reasoning
from loomwire.domain.ports.client import LLMStream
from loomwire.domain.ports.clock import IClock
from loomwire.domain.reports.context import Phase
from loomwire.domain.requests import Bound, LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.infrastructure.providers.offline.reply import (
    Reply,
    arguments_text,
    first_characters,
    named_calls,
    pieces,
    usage_of,
)
from loomwire.infrastructure.providers.wire.answer import Answer, AnswerStream

_BREATH: Final = 64


async def played(reply: Reply, request: LLMRequest, config: LLMConfig, clock: IClock) -> LLMResponse[str]:
    """Return the whole answer of a reply, after its delay.

    Raises:
        LLMError: The reply's failure; the reason of `request.bound` when the delay is longer than that; `reset` when
            the reply is cut.
    """
    await _first_token(reply, request, config, clock)
    if reply.cut_after is not None:
        raise llm_error(
            "reset", "the scripted connection broke", provider=config.name, model=config.model, phase="body"
        )
    answer = Answer(config)
    for _ in _events(answer, reply, request, lambda text: [text] if text else []):
        pass
    return answer.response()


@final
class ReplyStream(AbstractAsyncContextManager[LLMStream]):
    """Streams the reply that is chosen on entering: entering waits for its delay and its first event."""

    __slots__ = ("_choose", "_clock", "_config", "_events", "_request")

    def __init__(
        self, choose: Callable[[LLMRequest], Reply], request: LLMRequest, config: LLMConfig, clock: IClock
    ) -> None:
        """Choose nothing yet: only an entered stream has asked for something."""
        self._choose = choose
        self._request = request
        self._config = config
        self._clock = clock
        self._events: _BoundEvents | None = None

    @override
    async def __aenter__(self) -> LLMStream:
        reply = self._choose(self._request)
        await _first_token(reply, self._request, self._config, self._clock)
        answer = Answer(self._config)
        source = _events(answer, reply, self._request, pieces)
        source = chain((next(source),), source)
        self._events = _BoundEvents(answer, source, self._request.bound, self._clock)
        return AnswerStream(answer, self._events)

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if self._events is not None:
            self._events.close()


class _BoundEvents(AsyncIterator[StreamEvent]):
    """Events of a reply, until its bound or until the stream is left."""

    __slots__ = ("_answer", "_bound", "_clock", "_closed", "_count", "_source")

    def __init__(self, answer: Answer, source: Iterator[StreamEvent], bound: Bound | None, clock: IClock) -> None:
        self._answer = answer
        self._source = source
        self._bound = bound
        self._clock = clock
        self._closed = False
        self._count = 0

    def close(self) -> None:
        """Deliver nothing more."""
        self._closed = True

    @override
    async def __anext__(self) -> StreamEvent:
        try:
            if not self._answer.finished:
                await self._check()
            for event in self._source:
                return event
        except LLMError as error:
            self._answer.error = error  # the layers judge a stream by what it says of itself
            raise
        raise StopAsyncIteration

    async def _check(self) -> None:
        if self._closed:
            raise self._answer.interrupted("the stream was left before its end")
        self._count += 1
        if self._count % _BREATH == 0:
            # Nothing else here ever waits, and a long reply must not keep the loop for itself.
            await self._clock.sleep(0)
        if self._bound is not None and self._clock.now() >= self._bound.at:
            phase: Phase = "stream_after_token"
            raise self._answer.interrupted("the stream took too long", reason=self._bound.reason, phase=phase)


async def _first_token(reply: Reply, request: LLMRequest, config: LLMConfig, clock: IClock) -> None:
    bound = request.bound
    left = math.inf if bound is None else max(bound.at - clock.now(), 0.0)
    await clock.sleep(min(reply.delay_s, left))
    if bound is not None and reply.delay_s >= left:
        message = f"no answer before the {bound.reason}"
        raise llm_error(bound.reason, message, provider=config.name, model=config.model)
    if reply.failure is not None:
        raise reply.failure.error(config)


def _events(
    answer: Answer, reply: Reply, request: LLMRequest, split: Callable[[str], Iterable[str]]
) -> Iterator[StreamEvent]:
    if reply.cut_after is not None:
        yield from _said(answer, first_characters(reply, reply.cut_after), request, split)
        phase: Phase = "stream_after_token" if answer.delivered else "stream_before_token"
        raise answer.interrupted("the scripted connection broke", phase=phase)
    yield from _said(answer, reply, request, split)
    if reply.signature:
        answer.keep_item(Reasoning(reply.reasoning, reply.signature, origin="offline"))
    answer.finish = reply.finish or ("tool_calls" if reply.tool_calls else "stop")
    usage = usage_of(reply, request)
    if usage.known:
        yield answer.set_usage(usage)
    yield from answer.end()


def _said(
    answer: Answer, reply: Reply, request: LLMRequest, split: Callable[[str], Iterable[str]]
) -> Iterator[StreamEvent]:
    yield from map(answer.add_reasoning, split(reply.reasoning))
    yield from map(answer.add_text, split(reply.text))
    for index, (id_, call) in enumerate(named_calls(reply, request)):
        yield answer.start_call(id_, call.name)
        for piece in split(arguments_text(call)):
            yield answer.add_arguments(index, piece)
