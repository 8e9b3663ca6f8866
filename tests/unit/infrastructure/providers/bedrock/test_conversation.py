"""Conversations become turns that alternate, with nothing in them that the service would refuse."""

from __future__ import annotations

import json

import pytest

from loomwire.domain.errors import CapabilityError, LLMValidationError
from loomwire.domain.messages import Image, Message, Reasoning, Text, ToolResult
from loomwire.domain.values import JSON, JSONObject, ToolCall
from loomwire.infrastructure.providers.bedrock.conversation import wire_conversation, wire_id
from loomwire.infrastructure.providers.wire.blocks.layout import LAYOUT

POINT: JSON = {"cachePoint": {"type": "default"}}


def said(*messages: Message, points: int = 4, thinking: bool = True) -> tuple[JSON, JSON]:
    """Return instructions and turns as JSON."""
    system, turns = wire_conversation(messages, most_points=points, thinking_back=thinking)
    return json.loads(json.dumps(system)), json.loads(json.dumps(turns))


def order(*entries: JSONObject) -> Reasoning:
    """Return the part that carries an order home."""
    return Reasoning(wire={"type": LAYOUT, "entries": entries}, origin="bedrock")


def turns(*messages: Message, thinking: bool = True) -> JSON:
    """Return the turns alone."""
    return said(*messages, thinking=thinking)[1]


def content(*messages: Message, thinking: bool = True) -> JSON:
    """Return what the only turn says."""
    told = turns(*messages, thinking=thinking)
    assert isinstance(told, list)
    (turn,) = told
    assert isinstance(turn, dict)
    said_there: JSON = turn["content"]
    return said_there


def test_instructions_join_wherever_they_stand() -> None:
    system, told = said(
        Message.system("Be brief."), Message.user("Hi"), Message.system("Be kind."), Message.user("And?")
    )
    assert system == [{"text": "Be brief."}, {"text": "Be kind."}]
    assert told == [{"role": "user", "content": [{"text": "Hi"}, {"text": "And?"}]}]


def test_turns_of_one_side_are_one_turn_and_results_are_the_users() -> None:
    calls = [ToolCall("a", "look", {"x": 1}), ToolCall("b", "look", None, '{"x":')]
    told = turns(
        Message.user("Hi"),
        Message.assistant("I look.", tool_calls=calls),
        Message.tool(ToolResult("a", {"sky": "rain"})),
        Message.tool(ToolResult("b", "no", is_error=True)),
        Message.user("And?"),
    )
    assert told == [
        {"role": "user", "content": [{"text": "Hi"}]},
        {
            "role": "assistant",
            "content": [
                {"text": "I look."},
                {"toolUse": {"toolUseId": "a", "name": "look", "input": {"x": 1}}},
                {"toolUse": {"toolUseId": "b", "name": "look", "input": {"INVALID_JSON": '{"x":'}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "a", "content": [{"text": '{"sky":"rain"}'}]}},
                {"toolResult": {"toolUseId": "b", "content": [{"text": "no"}], "status": "error"}},
                {"text": "And?"},
            ],
        },
    ]


def test_empty_texts_are_left_out() -> None:
    assert turns(Message.user("Hi"), Message.assistant(""), Message("user", (Text(""), Text("x")))) == [
        {"role": "user", "content": [{"text": "Hi"}, {"text": "x"}]}
    ]
    assert content(Message("assistant", (Text(" "), ToolCall("a", "look", {})))) == [
        {"toolUse": {"toolUseId": "a", "name": "look", "input": {}}}
    ]


def test_pictures_are_bytes_and_a_data_url_is_passed_on_as_it_is() -> None:
    told = content(Message.user(Image(b"\x89PNG", media_type="image/webp"), Image(url="data:image/PNG;base64,????")))
    assert told == [
        {"image": {"format": "webp", "source": {"bytes": "iVBORw=="}}},
        {"image": {"format": "png", "source": {"bytes": "????"}}},
    ]


def test_a_picture_that_is_not_at_hand_is_refused() -> None:
    with pytest.raises(CapabilityError, match="not by their address"):
        turns(Message.user(Image(url="https://example.com/a.png")))
    for url in ("data:image/png,abc", "data:image/tiff;base64,abcd"):
        with pytest.raises(LLMValidationError, match="base64"):
            turns(Message.user(Image(url=url)))


def test_own_thinking_goes_back_as_it_came_and_no_other() -> None:
    message = Message.assistant(
        "Hi",
        reasoning=[
            Reasoning("Hm.", "c2ln", origin="bedrock"),
            Reasoning("Plain.", origin="bedrock"),
            Reasoning(redacted="b3A=", origin="bedrock"),
            Reasoning(wire={"reasoningContent": {"x": 1}}, origin="bedrock"),
            Reasoning("Theirs.", "other", origin="anthropic"),
            Reasoning("Nobody's."),
        ],
    )
    assert content(message) == [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
        {"reasoningContent": {"reasoningText": {"text": "Plain."}}},
        {"reasoningContent": {"redactedContent": "b3A="}},
        {"reasoningContent": {"x": 1}},
        {"text": "Hi"},
    ]
    assert content(message, thinking=False) == [{"text": "Hi"}]


def test_blocks_go_back_in_the_order_in_which_they_came() -> None:
    block: JSON = {"toolResult": {"toolUseId": "s", "content": []}}
    entries: tuple[JSONObject, ...] = (
        {"text": 2},
        {"call": 0},
        {"thinking": 0},
        {"block": block},
        {"text": 3, "citations": [{"title": "t"}]},
        {"text": 1},
    )
    parts = (Reasoning("Hm.", "s", origin="bedrock"), Text("Hiyou "), ToolCall("a", "look", {}), order(*entries))
    call: JSON = {"toolUse": {"toolUseId": "a", "name": "look", "input": {}}}
    thought: JSON = {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "s"}}}
    cited: JSON = {"citationsContent": {"content": [{"text": "you"}], "citations": [{"title": "t"}]}}
    assert content(Message("assistant", parts)) == [{"text": "Hi"}, call, thought, block, cited]
    # What somebody has changed no longer fits the order; nothing of it is lost.
    changed = (parts[0], Text("Other"), *parts[2:])
    assert content(Message("assistant", changed)) == [thought, block, {"text": "Other"}, call]
    odd = Reasoning(wire={"type": LAYOUT, "entries": "none"}, origin="bedrock")
    assert content(Message("assistant", (odd, Text("Hi")))) == [{"text": "Hi"}]
    worse = order({"text": "2"}, {"call": 0})
    assert content(Message("assistant", (worse, Text("Hi"), parts[2]))) == [{"text": "Hi"}, call]


def test_cache_points_follow_what_is_worth_keeping() -> None:
    messages = (
        Message("system", (Text("Be brief."),), cache_point=True),
        Message("user", (Text("Hi"),), cache_point=True),
        Message("assistant", (Text(""),), cache_point=True),
    )
    assert said(*messages) == (
        [{"text": "Be brief."}, POINT],
        [{"role": "user", "content": [{"text": "Hi"}, POINT]}],
    )
    assert said(*messages, points=0) == ([{"text": "Be brief."}], [{"role": "user", "content": [{"text": "Hi"}]}])
    with pytest.raises(CapabilityError, match="at most 2 cache points"):
        said(*messages, points=2)


def test_ids_of_other_vendors_are_replaced_alike() -> None:
    assert wire_id("tooluse_a.b:c-d") == "tooluse_a.b:c-d"
    assert wire_id("call|1") == wire_id("call|1") != wire_id("call|2")
    assert len(wire_id("x" * 65)) <= 64
    assert wire_id("").startswith("tooluse_")
