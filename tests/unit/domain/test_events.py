"""What a stream delivers, and what observers are told."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import get_args

import pytest

from loomwire.domain.events import CallRecord, Finished, StreamEvent, TextDelta, UsageUpdate
from loomwire.domain.pricing import Usage

# promises.md, "Ports and values", and what each event says.
PROMISED = {
    "TextDelta": ["text"],
    "ReasoningDelta": ["text"],
    "ToolCallStart": ["index", "id", "name"],
    "ToolCallDelta": ["index", "arguments"],
    "ToolCallEnd": ["index", "call"],
    "UsageUpdate": ["usage"],
    "StreamRestarted": ["reason"],
    "Finished": ["finish"],
}


def test_a_stream_delivers_the_promised_events() -> None:
    kinds = get_args(StreamEvent)
    assert {kind.__name__: [f.name for f in fields(kind)] for kind in kinds} == PROMISED
    assert all(is_dataclass(kind) and "__slots__" in vars(kind) for kind in kinds)


def test_events_are_values_told_apart_by_their_class() -> None:
    assert TextDelta("a") == TextDelta("a")
    assert UsageUpdate(Usage(1)) == UsageUpdate(Usage(1))
    assert Finished(None) != Finished("stop")
    assert len({TextDelta("a"), TextDelta("a"), TextDelta("b")}) == 2


def test_an_event_cannot_be_changed_by_one_of_several_readers() -> None:
    with pytest.raises(FrozenInstanceError):
        TextDelta("a").__setattr__("text", "b")


def test_a_record_has_no_room_for_a_prompt_an_answer_or_a_key() -> None:
    record = CallRecord("call", "planner", "openai", "gpt-5-mini", "answered", 0.25)
    assert (record.code, record.usage, record.cost, record.streamed) == ("", None, None, False)
    assert (record.tenant, record.session, record.tags) == (None, None, frozenset())
    assert {f.name for f in fields(record)} == {
        *("level", "client", "provider", "model", "outcome", "latency_s", "code", "usage", "cost", "streamed"),
        *("tenant", "session", "tags", "operation", "degraded"),
    }
