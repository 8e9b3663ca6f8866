"""Conversations are written in turns, with the instructions apart and thinking as it came."""

from __future__ import annotations

import json

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, LLMValidationError
from loomwire.domain.messages import Image, Message, Reasoning, Text, ToolResult
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.anthropic.messages import AnthropicMessages
from loomwire.infrastructure.providers.anthropic.quirks import AnthropicQuirks
from support.json_reading import objects

CONFIG = LLMConfig.anthropic("claude-opus-5", api_key="k")
CALL = ToolCall("toolu_1", "look", {"city": "Rome"})
WIRE_CALL = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"city": "Rome"}}
SIGNED = Reasoning("Hm.", "c2ln", origin="anthropic")
WIRE_SIGNED = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
EPHEMERAL = {"type": "ephemeral"}


def said(*messages: Message, quirks: AnthropicQuirks = AnthropicQuirks()) -> tuple[JSON, JSON]:
    """Return instructions and turns as they go."""
    body = json.loads(AnthropicMessages(quirks).encode(LLMRequest(messages), CONFIG, stream=False))
    return body.get("system"), body["messages"]


def blocks(*messages: Message) -> JSON:
    """Return the content of the last turn."""
    return objects(said(*messages)[1])[-1]["content"]


def test_instructions_are_a_text_or_blocks_wherever_they_stood() -> None:
    user, system = Message.user("Hi"), Message.system("Be brief.")
    assert said(system, user) == ("Be brief.", [{"role": "user", "content": "Hi"}])
    one, two = {"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}
    assert said(system, user, Message.system("Be kind."))[0] == [one, two]
    assert said(Message.system(""), user)[0] is None


def test_instructions_stay_inside_where_the_model_allows_it() -> None:
    inside = AnthropicQuirks(system_inside=True)
    system, turns = said(
        Message.system("Be brief."), Message.user("Hi"), Message.system("Be kind."), Message.user("Go"), quirks=inside
    )
    assert system == "Be brief."
    assert turns == [
        {"role": "user", "content": "Hi"},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Go"},
    ]


def test_messages_of_one_side_become_one_turn_with_all_results_in_it() -> None:
    calls = Message.assistant(tool_calls=[CALL, ToolCall("toolu_2", "look", {})])
    results = Message.tool(ToolResult("toolu_1", "sunny")), Message.tool(ToolResult("toolu_2", {"c": 3}, is_error=True))
    turns = objects(said(Message.user("Hi"), Message.user("there"), calls, *results, Message.user("And?"))[1])
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert turns[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"},
        {"type": "tool_result", "tool_use_id": "toolu_2", "content": '{"c":3}', "is_error": True},
        {"type": "text", "text": "And?"},
    ]


def test_pictures_go_as_bytes_as_addresses_and_out_of_data_urls_undecoded() -> None:
    pictures = (
        Image(data=b"\x00\x01", media_type="image/jpeg"),
        Image(url="https://x.example/a.png"),
        Image(url="data:image/PNG;base64,not decoded"),
    )
    assert blocks(Message.user("See", *pictures)) == [
        {"type": "text", "text": "See"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "AAE="}},
        {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "not decoded"}},
    ]
    with pytest.raises(LLMValidationError, match="base64"):
        said(Message.user(Image(url="data:image/svg+xml,%3Csvg")))


def test_empty_texts_are_not_sent_but_an_empty_question_is() -> None:
    assert said(Message.user("")) == (None, [{"role": "user", "content": ""}])
    assert blocks(Message("user", (Text(""), Text("Hi"), Text("!")))) == [
        {"type": "text", "text": "Hi"},
        {"type": "text", "text": "!"},
    ]
    _, turns = said(Message.user("Hi"), Message.assistant(""), Message.user("Well?"))
    assert turns == [{"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "Well?"}]}]


def test_thinking_of_this_vendor_goes_back_unchanged_and_first() -> None:
    redacted = Reasoning(redacted="b3BhcXVl", origin="anthropic")
    own = Reasoning(wire={"type": "future_thinking", "data": [1]}, origin="anthropic")
    unsigned = Reasoning("Ah.", origin="anthropic")
    message = Message("assistant", (SIGNED, redacted, own, unsigned, Text("Well."), CALL))
    assert blocks(Message.user("Hi"), message) == [
        WIRE_SIGNED,
        {"type": "redacted_thinking", "data": "b3BhcXVl"},
        {"type": "future_thinking", "data": [1]},
        {"type": "thinking", "thinking": "Ah.", "signature": ""},
        {"type": "text", "text": "Well."},
        WIRE_CALL,
    ]


def test_thinking_of_others_never_goes() -> None:
    others = (Reasoning("Plain."), Reasoning("Signed.", "sig", origin="gemini"), Reasoning(wire={"type": "x"}))
    assert blocks(Message.user("Hi"), Message.assistant("Well.", reasoning=others)) == "Well."


def test_cut_arguments_are_wrapped_and_foreign_ids_replaced_alike() -> None:
    odd = ToolCall("functions.look:0", "look", None, '{"city": "Ro')
    result = Message.tool(ToolResult("functions.look:0", "?"))
    turns = objects(said(Message.user("Hi"), Message.assistant(tool_calls=[odd]), result)[1])
    (call,), (answer,) = objects(turns[1]["content"]), objects(turns[2]["content"])
    assert call["input"] == {"INVALID_JSON": '{"city": "Ro'}
    assert call["id"] == answer["tool_use_id"] != odd.id
    assert len(str(call["id"])) == 30


def test_cache_points_mark_the_last_block_that_can_be_marked() -> None:
    point = {"cache_control": EPHEMERAL}
    system = Message("system", (Text("Be brief."),), cache_point=True)
    user = Message("user", (Text("Hi"), Image(url="https://x.example/a.png")), cache_point=True)
    assistant = Message("assistant", (Text("Well."), CALL), cache_point=True)
    tool = Message("tool", (ToolResult("toolu_1", "sunny"),), cache_point=True)
    told, turns = said(system, user, assistant, tool)
    assert told == [{"type": "text", "text": "Be brief.", **point}]
    assert [block.get("cache_control") for turn in objects(turns) for block in objects(turn["content"])] == [
        None,
        EPHEMERAL,
        None,
        EPHEMERAL,
        EPHEMERAL,
    ]
    with pytest.raises(CapabilityError, match="at most 4 cache points"):
        said(system, user, assistant, tool, user)
    unmarked = said(system, user, assistant, tool, user, quirks=AnthropicQuirks(cache_points=False))
    assert "cache_control" not in json.dumps(unmarked)
    thinking_only = Message("assistant", (SIGNED,), cache_point=True)
    assert blocks(Message.user("Hi"), thinking_only) == [WIRE_SIGNED]


def test_unsigned_thinking_goes_only_where_nobody_checks_signatures() -> None:
    said_by_others = Message.assistant("Yes.", reasoning=[Reasoning("Hm.", origin="anthropic"), SIGNED])
    _, turns = said(Message.user("Hi"), said_by_others, quirks=AnthropicQuirks(signed_thinking=True))
    assert objects(turns)[-1]["content"] == [WIRE_SIGNED, {"type": "text", "text": "Yes."}]
    unsigned = {**WIRE_SIGNED, "signature": ""}
    assert blocks(Message.user("Hi"), said_by_others) == [unsigned, WIRE_SIGNED, {"type": "text", "text": "Yes."}]
