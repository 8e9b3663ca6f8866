"""Requests are written as Ollama's own chat accepts them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeAlias

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, LLMValidationError
from loomwire.domain.messages import Image, Message, Reasoning, ToolResult
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters, ReasoningEffort
from loomwire.domain.tools import Tool, ToolNamed
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.ollama.chat import OllamaChat
from loomwire.infrastructure.providers.ollama.quirks import OllamaQuirks

Wire: TypeAlias = dict[str, object]

CONFIG = LLMConfig.ollama("m")
CALL = ToolCall("call_1", "look", {"city": "Rome"})
WIRE_CALL = {"id": "call_1", "function": {"name": "look", "arguments": {"city": "Rome"}}}
LOOK = Tool("look", "Looks.", {"type": "object", "properties": {"city": {"type": "string"}}}, strict=True)
PING = Tool("ping")


def written(
    request: LLMRequest, *, stream: bool = False, config: LLMConfig = CONFIG, quirks: OllamaQuirks = OllamaQuirks()
) -> Wire:
    body: Wire = json.loads(OllamaChat(quirks).encode(request, config, stream=stream))
    return body


def messages(*said: Message, quirks: OllamaQuirks = OllamaQuirks()) -> object:
    return written(LLMRequest(said), quirks=quirks)["messages"]


def test_a_question_says_whether_it_wants_a_stream_because_ollama_streams_unasked() -> None:
    request = LLMRequest.of("Hi", system="Be brief.")
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert written(request) == {"model": "m", "messages": said, "stream": False}
    assert written(request, stream=True) == {"model": "m", "messages": said, "stream": True}


def test_system_messages_and_messages_of_one_role_stay_where_they_are() -> None:
    said = (Message.system("A."), Message.user("B"), Message.user("C", "D"), Message.system("E."), Message.user("F"))
    assert messages(*said) == [{"role": each.role, "content": each.text} for each in said]


def test_parameters_are_options() -> None:
    asked = written(LLMRequest.of("Hi", parameters=Parameters(0.5, 0.9, 100, ("END",), 7, 0.1, 0.2)))
    assert asked["options"] == {
        "temperature": 0.5,
        "top_p": 0.9,
        "num_predict": 100,
        "stop": ["END"],
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
    }


def test_options_of_extra_come_beside_those_of_parameters() -> None:
    config = LLMConfig.ollama(
        "m", temperature=0.1, extra={"options": {"num_ctx": 8192, "top_k": 3}, "keep_alive": "5m"}
    )
    request = LLMRequest(
        (Message.user("Hi"),), parameters=Parameters(seed=7), extra={"options": {"top_k": 4, "num_gpu": 1}}
    )
    asked = written(request, config=config)
    assert asked["options"] == {"temperature": 0.1, "seed": 7, "num_ctx": 8192, "top_k": 4, "num_gpu": 1}
    assert asked["keep_alive"] == "5m"
    assert written(LLMRequest.of("Hi"), config=LLMConfig.ollama("m", extra={"options": {}}))["options"] == {}


def test_extra_cannot_break_what_is_ours() -> None:
    with pytest.raises(LLMValidationError, match="options must be an object"):
        written(LLMRequest.of("Hi"), config=LLMConfig.ollama("m", extra={"options": 3}))
    with pytest.raises(LLMValidationError, match="extra cannot set stream"):
        written(LLMRequest.of("Hi"), config=LLMConfig.ollama("m", extra={"stream": True}))


@pytest.mark.parametrize(
    ("effort", "think"),
    [("none", False), ("minimal", "low"), ("low", "low"), ("medium", "medium"), ("high", "high")],
)
def test_the_effort_is_think(effort: ReasoningEffort, think: object) -> None:
    request = LLMRequest.of("Hi", parameters=Parameters(reasoning_effort=effort))
    assert written(request)["think"] == think
    assert written(request, quirks=OllamaQuirks(think_levels=False))["think"] is (effort != "none")


def test_tools_are_functions() -> None:
    asked = written(LLMRequest.of("Hi", tools=[LOOK, PING]))
    assert asked["tools"] == [
        {"type": "function", "function": {"name": "look", "parameters": LOOK.parameters, "description": "Looks."}},
        {"type": "function", "function": {"name": "ping", "parameters": {"type": "object", "properties": {}}}},
    ]


def test_no_tool_is_offered_when_none_may_be_called() -> None:
    assert "tools" not in written(LLMRequest((Message.user("Hi"),), (LOOK,), "none"))


def test_a_call_cannot_be_forced() -> None:
    with pytest.raises(CapabilityError, match="cannot be made to call a tool"):
        written(LLMRequest((Message.user("Hi"),), (LOOK,), "required"))
    with pytest.raises(CapabilityError, match="cannot be made to call a tool"):
        written(LLMRequest((Message.user("Hi"),), (LOOK,), ToolNamed("look")))


def test_pictures_are_bare_base64_beside_the_text() -> None:
    data = Image(url="data:image/png;base64,AAAA")
    assert messages(Message.user("Look", Image(data=b"\x89PNG"), data, " here")) == [
        {"role": "user", "content": "Look here", "images": ["iVBORw==", "AAAA"]}
    ]


@pytest.mark.parametrize(
    "url", ["https://example.com/a.png", "data:image/svg+xml,<svg/>", "https://example.com/a;base64,AAAA"]
)
def test_an_address_of_a_picture_is_refused_because_ollama_fetches_none(url: str) -> None:
    with pytest.raises(CapabilityError, match="no address of a picture"):
        messages(Message.user(Image(url=url)))


def test_a_tool_round_has_arguments_as_objects_and_names_for_results() -> None:
    results = (
        ToolResult("call_1", "Sunny."),
        ToolResult("call_2", {"sky": "grey"}, name="other"),
        ToolResult("call_3", "Failed.", is_error=True),
    )
    said = (Message.user("Hi"), Message.assistant("So.", tool_calls=[CALL]), Message.tool(*results))
    assert messages(*said) == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "So.", "tool_calls": [WIRE_CALL]},
        {"role": "tool", "content": "Sunny.", "tool_name": "look", "tool_call_id": "call_1"},
        {"role": "tool", "content": '{"sky":"grey"}', "tool_name": "other", "tool_call_id": "call_2"},
        {"role": "tool", "content": "Failed.", "tool_call_id": "call_3"},
    ]
    assert "call_" not in json.dumps(messages(*said, quirks=OllamaQuirks(call_ids=False)))


def test_a_call_without_an_object_cannot_be_told() -> None:
    with pytest.raises(CapabilityError, match="'look'"):
        messages(Message.user("Hi"), Message.assistant(tool_calls=[ToolCall("a", "look", None, '{"ci')]))


def test_plain_thinking_goes_back_and_what_is_signed_does_not() -> None:
    thoughts = [
        Reasoning("Hm. "),
        Reasoning("So.", origin="cohere"),
        Reasoning("Signed.", "sig", origin="anthropic"),
        Reasoning(redacted="x", origin="anthropic"),
        Reasoning("Wired.", wire={"a": 1}),
    ]
    assert messages(Message.assistant("Hi", reasoning=thoughts)) == [
        {"role": "assistant", "content": "Hi", "thinking": "Hm. So."}
    ]


CITY: Mapping[str, JSON] = {"type": "object", "properties": {"name": {"type": "string"}}}


def test_a_schema_is_the_format() -> None:
    assert written(LLMRequest.of("Hi", output=OutputSpec(CITY)))["format"] == CITY
    assert written(LLMRequest.of("Hi", output=OutputSpec()))["format"] == "json"


@pytest.mark.parametrize(
    ("part", "place"),
    [
        ({"type": "number", "minimum": 1}, "$.properties.a.minimum"),
        ({"type": "array", "items": {"not": {}}}, "$.properties.a.items.not"),
        ({"anyOf": [{"type": "null"}, {"type": "array", "uniqueItems": True}]}, "$.properties.a.anyOf[1].uniqueItems"),
        ({"type": "string", "format": "email"}, "$.properties.a.format"),
        ({"type": "string", "pattern": "a"}, "$.properties.a.pattern"),
    ],
)
def test_a_keyword_that_ollama_would_leave_out_is_named(part: JSON, place: str) -> None:
    schema: Mapping[str, JSON] = {"type": "object", "properties": {"a": part}}
    with pytest.raises(CapabilityError) as caught:
        written(LLMRequest.of("Hi", output=OutputSpec(schema)))
    assert caught.value.message.endswith(f" {place}")
    assert written(LLMRequest.of("Hi", output=OutputSpec(schema, strict=False)))["format"] == schema


def test_what_ollama_knows_is_not_refused() -> None:
    parts: Mapping[str, JSON] = {
        "a": {"type": "integer", "minimum": 1, "exclusiveMaximum": 9},
        "b": {"type": "string", "pattern": "^a$", "minLength": 1},
        "c": {"type": "string", "format": "date"},
        "d": {"type": "array", "items": {"$ref": "#/$defs/D"}, "minItems": 1, "maxItems": 3},
        "not": {"oneOf": [{"const": 1}, {"enum": [2]}]},
    }
    schema: Mapping[str, JSON] = {
        "type": "object",
        "properties": parts,
        "$defs": {"D": {"type": "boolean"}},
        "additionalProperties": False,
    }
    assert written(LLMRequest.of("Hi", output=OutputSpec(schema)))["format"] == schema
