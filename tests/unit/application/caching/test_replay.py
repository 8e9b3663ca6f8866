"""An answer that is there already streams as it would have come."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loomwire.application.caching.replay import ReplayedStream
from loomwire.domain.errors import StreamInterruptedError
from loomwire.domain.events import (
    Finished,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    UsageUpdate,
)
from loomwire.domain.messages import Reasoning
from loomwire.domain.pricing import NO_USAGE, Usage
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import ToolCall
from support.keeping import events_of

CALL = ToolCall("call_1", "weigh", {"what": "wöl"})
CUT = ToolCall("call_2", "weigh", None, '{"what": "w')
ANSWER = LLMResponse(
    output="Let me see.",
    text="Let me see.",
    provider="p",
    model="m",
    tool_calls=(CALL, CUT),
    reasoning=(Reasoning("Hm."), Reasoning("", redacted="xyz")),
    finish="length",
    usage=Usage(3, 4),
)


async def test_it_delivers_thinking_text_calls_usage_and_the_end() -> None:
    stream = ReplayedStream(ANSWER)
    assert await events_of(stream) == [
        ReasoningDelta("Hm."),
        TextDelta("Let me see."),
        ToolCallStart(0, "call_1", "weigh"),
        ToolCallDelta(0, '{"what":"wöl"}'),
        ToolCallStart(1, "call_2", "weigh"),
        ToolCallDelta(1, '{"what": "w'),
        UsageUpdate(Usage(3, 4)),
        ToolCallEnd(0, CALL),
        ToolCallEnd(1, CUT),
        Finished("length"),
    ]
    assert (stream.response, stream.finished, stream.error) == (ANSWER, True, None)
    assert await events_of(stream) == []


async def test_an_answer_of_nothing_has_an_end_all_the_same() -> None:
    empty = replace(ANSWER, output="", text="", tool_calls=(), reasoning=(), usage=NO_USAGE, finish=None)
    assert await events_of(ReplayedStream(empty)) == [Finished(None)]


@pytest.mark.parametrize(("read", "text", "calls", "usage"), [(0, "", (), None), (8, "Let me see.", (CALL,), (3, 4))])
async def test_before_its_end_there_is_no_answer_but_what_was_delivered(
    read: int, text: str, calls: tuple[ToolCall, ...], usage: tuple[int, int] | None
) -> None:
    stream = ReplayedStream(ANSWER)
    for _ in range(read):
        await anext(aiter(stream))
    assert not stream.finished
    with pytest.raises(StreamInterruptedError) as raised:
        _ = stream.response
    assert (raised.value.partial_text, raised.value.partial_tool_calls) == (text, calls)
    assert raised.value.usage_so_far == (usage and Usage(*usage))
