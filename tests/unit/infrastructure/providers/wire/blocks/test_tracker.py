"""Blocks become an answer's text, thinking and calls, and what a message has no part for goes back beside them."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMProtocolError
from loomwire.domain.events import ReasoningDelta, StreamEvent, TextDelta, ToolCallStart
from loomwire.domain.messages import Reasoning
from loomwire.domain.values import NO_JSON
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.blocks.layout import Layout
from loomwire.infrastructure.providers.wire.blocks.output_tool import OUTPUT_TOOL
from loomwire.infrastructure.providers.wire.blocks.tracker import (
    CALL,
    FURTHER,
    MOST_BLOCKS,
    TEXT,
    THINKING,
    Block,
    BlockTracker,
    Wire,
)

CONFIG = LLMConfig.custom("m", name="vendor")


class Tracker(BlockTracker[Block]):
    """A dialect whose blocks are told by their rank alone."""

    layout = Layout("here", lambda text, _: {"said": text})

    @override
    def thoughts(self, block: Block) -> Iterable[Reasoning]:
        return (Reasoning(block.said.text(), origin="here"),)

    @override
    def further(self, block: Block) -> Wire | None:
        return {"input": self._input_of(block)} if block.said else None

    def begin(self, rank: int, index: object = None) -> Block:
        """Note a block."""
        return self._noted(index, Block(str(rank), rank, NO_JSON))

    def call(self, id: str, name: str, events: list[StreamEvent]) -> None:
        """Note a call, unless it is the answer."""
        if not self._is_answer(name):
            self._start_call(self.begin(CALL), id, name, events)


def test_blocks_become_what_they_say() -> None:
    answer, events = Answer(CONFIG), list[StreamEvent]()
    tracker = Tracker(answer)
    tracker.add_thinking(tracker.begin(THINKING), "Hm.", events)
    text = tracker.begin(TEXT)
    for said in ("Hel", "lo", "", None, 3):
        tracker.add_text(text, said, events)
        tracker.add_thinking(text, None, events)
    tracker.call("c1", "look", events)
    tracker.call("c1", "look", events)
    tracker.close(events)
    calls = [event for event in events if isinstance(event, ToolCallStart)]
    assert events[:3] == [ReasoningDelta("Hm."), TextDelta("Hel"), TextDelta("lo")]
    assert calls[0].id == "c1" != calls[1].id
    answer.end()
    assert answer.result().reasoning == (Reasoning("Hm.", origin="here"),)


def test_an_order_of_its_own_is_kept_with_what_has_no_part() -> None:
    answer, events = Answer(CONFIG), list[StreamEvent]()
    tracker = Tracker(answer)
    tracker.call("c1", "look", events)
    tracker.begin(TEXT)  # said nothing
    tracker.add_text(tracker.begin(TEXT), "Hi", events)
    cited = tracker.begin(TEXT)
    tracker.add_part(cited, {"title": "t"})
    for pieces in (('{"q"', ": 1}"), ("[1",), ()):
        block = tracker.begin(FURTHER)
        for piece in pieces:
            block.said.add(piece)
    tracker.begin(THINKING)
    tracker.close(events)
    answer.end()
    assert answer.result().reasoning[-1].wire == {
        "type": "loomwire_layout",
        "entries": [
            {"call": 0},
            {"text": 2},
            {"text": 0, "citations": [{"title": "t"}]},
            {"block": {"input": {"q": 1}}},
            {"block": {"input": {"INVALID_JSON": "[1"}}},
            {"thinking": 0},
        ],
    }


def test_an_answer_by_the_output_tool_waits_for_no_tool() -> None:
    answer, events = Answer(CONFIG), list[StreamEvent]()
    tracker = Tracker(answer)
    tracker.call("c1", OUTPUT_TOOL, events)
    answer.finish = "tool_calls"
    tracker.close(events)
    assert (answer.finish, events) == ("stop", [])
    with pytest.raises(LLMProtocolError, match="given twice"):
        tracker.call("c2", OUTPUT_TOOL, events)
    with pytest.raises(LLMProtocolError, match="without a name"):
        tracker.call("c2", "", events)


def test_blocks_and_citations_are_counted() -> None:
    tracker = Tracker(Answer(CONFIG))
    block = tracker.begin(TEXT)
    for at in range(1, MOST_BLOCKS):
        tracker.begin(TEXT, at)
    with pytest.raises(LLMProtocolError) as refused:
        tracker.begin(TEXT)
    assert refused.value.reason == "too_large"
    for _ in range(MOST_BLOCKS):
        tracker.add_part(block, {})
    with pytest.raises(LLMProtocolError) as refused:
        tracker.add_part(block, {})
    assert refused.value.reason == "too_large"
