"""An answer that is there already, played as a stream."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from typing_extensions import override

from loomwire.domain.errors import StreamInterruptedError
from loomwire.domain.events import (
    Finished,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    UsageUpdate,
)
from loomwire.domain.ports.client import LLMStream
from loomwire.domain.pricing import Usage
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import ToolCall


class ReplayedStream(LLMStream):
    """Delivers an answer as the events a provider would have sent, without waiting. It is its own iterator."""

    __slots__ = ("_delivered", "_events", "_response", "_whole")

    def __init__(self, response: LLMResponse[str]) -> None:
        """Play `response` from its beginning."""
        self._response = response
        self._events = events_of(response)
        self._delivered: list[StreamEvent] = []
        self._whole = False

    @override
    def __aiter__(self) -> ReplayedStream:
        return self

    async def __anext__(self) -> StreamEvent:
        """Return the next event."""
        for event in self._events:
            self._delivered.append(event)
            self._whole = isinstance(event, Finished)
            return event
        raise StopAsyncIteration

    @property
    @override
    def response(self) -> LLMResponse[str]:
        if not self._whole:
            raise interrupted("the stream has not been read to its end", self._delivered)
        return self._response

    @property
    @override
    def finished(self) -> bool:
        return self._whole


def events_of(response: LLMResponse[str]) -> Iterator[StreamEvent]:
    """Yield the events of an answer in the order of the wire: thinking, text, calls, usage, the end."""
    for thought in response.reasoning:
        if thought.text:
            yield ReasoningDelta(thought.text)
    if response.text:
        yield TextDelta(response.text)
    for index, call in enumerate(response.tool_calls):
        yield ToolCallStart(index, call.id, call.name)
        yield ToolCallDelta(index, _arguments(call))
    if response.usage.known:
        yield UsageUpdate(response.usage)
    for index, call in enumerate(response.tool_calls):
        yield ToolCallEnd(index, call)
    yield Finished(response.finish)


def interrupted(
    message: str, delivered: Iterable[StreamEvent], reason: str = "stream_interrupted"
) -> StreamInterruptedError:
    """Return the error of a stream that was not read to its end, with what was delivered of it; not raised.

    Args:
        message: One line: what happened.
        delivered: The events so far; none before a restart.
        reason: A reason of the fault table.
    """
    text: list[str] = []
    calls: list[ToolCall] = []
    usage: Usage | None = None
    for event in delivered:
        if isinstance(event, TextDelta):
            text.append(event.text)
        elif isinstance(event, ToolCallEnd):
            calls.append(event.call)
        elif isinstance(event, UsageUpdate):
            usage = event.usage
    return StreamInterruptedError(
        message,
        reason=reason,
        phase="stream_after_token",
        partial_text="".join(text),
        partial_tool_calls=tuple(calls),
        usage_so_far=usage,
    )


def _arguments(call: ToolCall) -> str:
    if call.arguments is None:
        return call.raw_arguments
    return json.dumps(call.arguments, ensure_ascii=False, separators=(",", ":"), default=dict)
