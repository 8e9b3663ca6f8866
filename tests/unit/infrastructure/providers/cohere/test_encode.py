"""Requests are written as Cohere's chat v2 accepts them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, LLMValidationError
from loomwire.domain.messages import Image, Message, Reasoning, Text, ToolResult
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.tools import Tool, ToolChoice, ToolNamed
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.cohere.chat import CohereChat
from loomwire.infrastructure.providers.cohere.quirks import CohereQuirks

Wire: TypeAlias = dict[str, object]

CONFIG = LLMConfig.cohere("m")
CALL = ToolCall("call_1", "look", {"city": "Rome"})
WIRE_CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"city":"Rome"}'}}
LOOK = Tool("look", "Looks.", {"type": "object", "properties": {"city": {"type": "string"}}}, strict=True)
PING = Tool("ping")
WIRE_LOOK = {"name": "look", "parameters": LOOK.parameters, "description": "Looks."}
WIRE_PING = {"name": "ping", "parameters": {"type": "object", "properties": {}}}


def written(
    request: LLMRequest, *, stream: bool = False, config: LLMConfig = CONFIG, quirks: CohereQuirks = CohereQuirks()
) -> Wire:
    body: Wire = json.loads(CohereChat(quirks).encode(request, config, stream=stream))
    return body


def messages(*said: Message) -> object:
    return written(LLMRequest(said))["messages"]


def test_a_question_is_model_and_messages_and_a_stream_says_so() -> None:
    request = LLMRequest.of("Hi", system="Be brief.")
    plain = {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    }
    assert written(request) == plain
    assert written(request, stream=True) == {**plain, "stream": True}


def test_system_messages_and_messages_of_one_role_stay_where_they_are() -> None:
    said = (Message.system("A."), Message.user("B"), Message.user("C"), Message.system("D."), Message.user("E"))
    assert messages(*said) == [{"role": each.role, "content": each.text} for each in said]


def test_parameters_take_coheres_names() -> None:
    asked = written(LLMRequest.of("Hi", parameters=Parameters(0.5, 0.9, 100, ("END",), 7, 0.1, 0.2, "low")))
    assert {name: value for name, value in asked.items() if name not in ("model", "messages")} == {
        "temperature": 0.5,
        "p": 0.9,
        "max_tokens": 100,
        "stop_sequences": ["END"],
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "thinking": {"type": "enabled"},
    }


def test_parameters_of_the_request_go_before_those_of_the_configuration() -> None:
    config = LLMConfig.cohere("m", temperature=0.1, max_tokens=5)
    asked = written(LLMRequest.of("Hi", parameters=Parameters(temperature=0.9)), config=config)
    assert (asked["temperature"], asked["max_tokens"]) == (0.9, 5)


def test_no_effort_switches_thinking_off_where_there_is_a_switch() -> None:
    request = LLMRequest.of("Hi", parameters=Parameters(reasoning_effort="none"))
    assert written(request)["thinking"] == {"type": "disabled"}
    assert "thinking" not in written(request, quirks=CohereQuirks(thinking=False))


def test_more_stop_texts_than_cohere_takes_are_refused() -> None:
    with pytest.raises(CapabilityError, match="at most 5 stop texts"):
        written(LLMRequest.of("Hi", parameters=Parameters(stop=tuple("abcdef"))))


@pytest.mark.parametrize(
    ("choice", "word", "offered"),
    [
        ("auto", None, [WIRE_LOOK, WIRE_PING]),
        ("none", "NONE", [WIRE_LOOK, WIRE_PING]),
        ("required", "REQUIRED", [WIRE_LOOK, WIRE_PING]),
        (ToolNamed("ping"), "REQUIRED", [WIRE_PING]),
    ],
)
def test_a_tool_forced_by_name_is_the_only_one_offered(
    choice: ToolChoice, word: object, offered: Sequence[object]
) -> None:
    asked = written(LLMRequest((Message.user("Hi"),), (LOOK, PING), choice))
    assert asked.get("tool_choice") == word
    assert asked["tools"] == [{"type": "function", "function": each} for each in offered]
    assert "strict_tools" not in asked


def test_tools_are_strict_when_all_want_it() -> None:
    demanding = replace(LOOK, parameters={**LOOK.parameters, "required": ["city"]})
    assert written(LLMRequest((Message.user("Hi"),), (demanding,)))["strict_tools"] is True


def test_tools_are_not_strict_when_one_demands_no_parameter() -> None:
    assert "strict_tools" not in written(LLMRequest((Message.user("Hi"),), (LOOK,)))


def test_pictures_are_addresses_or_data_urls() -> None:
    image = Image(data=b"\x89PNG", detail="low")
    address = Image(url="https://example.com/a.png")
    data = Image(url="data:image/png;base64,AAAA", detail="high")
    assert messages(Message.user("Look", image, address, data)) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw==", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "high"}},
            ],
        }
    ]
    plain = written(LLMRequest((Message.user(image),)), quirks=CohereQuirks(image_detail=False))
    assert "detail" not in json.dumps(plain)


def test_a_tool_round_is_calls_with_their_plan_and_one_message_for_each_result() -> None:
    plan = Reasoning(wire={"tool_plan": "I look.", "citations": ({"text": "x"},)}, origin="cohere")
    results = (
        ToolResult("call_1", "Sunny."),
        ToolResult("call_2", {"sky": "grey"}, name="look"),
        ToolResult("call_3", "No such city", is_error=True),
    )
    assert messages(
        Message.user("Hi"), Message.assistant(tool_calls=[CALL], reasoning=[plan]), Message.tool(*results)
    ) == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_plan": "I look.", "tool_calls": [WIRE_CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Sunny."},
        {"role": "tool", "tool_call_id": "call_2", "content": '{"sky":"grey"}'},
        {"role": "tool", "tool_call_id": "call_3", "content": "No such city"},
    ]


def test_arguments_that_were_cut_go_back_as_they_came() -> None:
    (entry,) = said(Message.assistant(tool_calls=[ToolCall("a", "look", None, '{"ci')]))
    assert entry["tool_calls"] == [{"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"ci'}}]


def said(*given: Message) -> list[Wire]:
    """Return messages as they are written."""
    wire = written(LLMRequest(given))["messages"]
    assert isinstance(wire, list)
    return wire


def test_only_thinking_that_came_from_here_goes_back() -> None:
    own = Reasoning("Hm.", origin="cohere")
    foreign = [
        Reasoning("Plain."),
        Reasoning("Signed.", "sig", origin="anthropic"),
        Reasoning(wire={"tool_plan": "theirs"}, origin="elsewhere"),
    ]
    (entry,) = said(Message.assistant("Hi", reasoning=[own, *foreign]))
    assert entry == {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hi"}],
    }
    (entry,) = said(Message.assistant(tool_calls=[CALL], reasoning=[own]))
    assert entry["content"] == [{"type": "thinking", "thinking": "Hm."}]
    (entry,) = said(Message.assistant("Hi", reasoning=foreign))
    assert entry == {"role": "assistant", "content": "Hi"}


def test_an_answer_that_said_nothing_is_an_empty_text() -> None:
    assert said(Message.assistant()) == [{"role": "assistant", "content": ""}]
    assert said(Message.assistant(reasoning=[Reasoning("Foreign.")])) == [{"role": "assistant", "content": ""}]
    assert said(Message("assistant", (Text("a"), Text("b")))) == [{"role": "assistant", "content": "ab"}]


CITY: Mapping[str, JSON] = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}


def test_a_schema_stands_beside_json_object() -> None:
    asked = written(LLMRequest.of("Hi", output=OutputSpec(CITY)))
    assert asked["response_format"] == {"type": "json_object", "json_schema": CITY}
    assert written(LLMRequest.of("Hi", output=OutputSpec()))["response_format"] == {"type": "json_object"}
    asked = written(LLMRequest.of("Hi", output=OutputSpec(CITY)), quirks=CohereQuirks(schema="schema"))
    assert asked["response_format"] == {"type": "json_object", "schema": CITY}


def test_an_output_format_beside_tools_is_refused_because_cohere_does_not_combine_them() -> None:
    with pytest.raises(CapabilityError, match="beside tools"):
        written(LLMRequest.of("Hi", tools=[PING], output=OutputSpec()))


def test_vendor_fields_are_added_as_they_are_and_ours_are_refused() -> None:
    config = LLMConfig.cohere("m", extra={"safety_mode": "OFF", "documents": []})
    asked = written(LLMRequest.of("Hi"), config=config)
    assert (asked["safety_mode"], asked["documents"]) == ("OFF", [])
    with pytest.raises(LLMValidationError, match="extra cannot set messages"):
        written(LLMRequest.of("Hi"), config=LLMConfig.cohere("m", extra={"messages": []}))
