"""Requests are written as each vendor of the chat dialect accepts them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, LLMValidationError
from loomwire.domain.messages import Image, Message, Reasoning, Text, ToolResult
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.tools import Tool, ToolChoice, ToolNamed
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.openai_chat.chat import OpenAIChat
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.infrastructure.providers.speech import speech
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS

Wire: TypeAlias = dict[str, object]

ROWS = [
    name
    for name, row in PROVIDERS.items()
    if row.client is None and "openai_chat" in (row.dialect, *(also.dialect for also in row.also))
]
SUBSET = ("openai", "azure_openai", "groq")
"""Rows whose strict mode wants closed objects without optional properties."""

CALL = ToolCall("call_1", "look", {"city": "Rome"})
WIRE_CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"city":"Rome"}'}}
LOOK = Tool("look", "Looks.", {"type": "object", "properties": {"city": {"type": "string"}}}, strict=True)
PING = Tool("ping")
WIRE_LOOK = {"name": "look", "parameters": LOOK.parameters, "description": "Looks.", "strict": True}
WIRE_PING = {"name": "ping", "parameters": {"type": "object", "properties": {}}}
ALL = Parameters(0.5, 0.9, 100, ("END",), 7, 0.1, 0.2, "low")
SAMPLING = {"temperature": 0.5, "top_p": 0.9, "presence_penalty": 0.1, "frequency_penalty": 0.2, "stop": ["END"]}


def quirks_of(row: str) -> ChatQuirks:
    """Return how a row speaks chat completions."""
    config = LLMConfig(type=row, model="m", dialect="openai_chat")
    quirks = speech(config, PROVIDERS[row], DIALECTS).quirks
    assert isinstance(quirks, ChatQuirks)
    return quirks


def written(
    request: LLMRequest,
    row: str = "custom",
    *,
    stream: bool = False,
    config: LLMConfig | None = None,
    quirks: ChatQuirks | None = None,
) -> Wire:
    dialect = OpenAIChat(quirks or quirks_of(row))
    body: Wire = json.loads(dialect.encode(request, config or LLMConfig.of(row, "m"), stream=stream))
    return body


def messages(*said: Message, row: str = "custom") -> object:
    return written(LLMRequest(said), row)["messages"]


@pytest.mark.parametrize("row", ROWS)
def test_a_plain_question_is_the_same_for_every_vendor(row: str) -> None:
    asked = written(LLMRequest.of("Hi", system="Be brief."), row)
    assert asked == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    }


@pytest.mark.parametrize("row", ROWS)
def test_a_stream_asks_for_usage_where_the_vendor_knows_it(row: str) -> None:
    asked = written(LLMRequest.of("Hi"), row, stream=True)
    assert asked["stream"] is True
    assert asked.get("stream_options") == (None if row == "mistral" else {"include_usage": True})


PLAIN: Wire = {"max_tokens": 100, "seed": 7, "reasoning_effort": "low"}
PARAMETERS: Mapping[str, Wire] = {
    "azure_openai": {"max_completion_tokens": 100, "seed": 7, "reasoning_effort": "low"},
    "openai": {"max_completion_tokens": 100, "seed": 7, "reasoning_effort": "low"},
    "deepseek": {"max_tokens": 100, "reasoning_effort": "low"},
    "groq": {"max_completion_tokens": 100, "seed": 7, "reasoning_effort": "low"},
    "mistral": {"max_tokens": 100, "random_seed": 7},
    "openrouter": {"max_tokens": 100, "seed": 7, "reasoning": {"effort": "low"}},
    "xai": {"max_completion_tokens": 100, "seed": 7, "reasoning_effort": "low"},
    "perplexity": {"max_tokens": 100, "reasoning_effort": "low"},
}


@pytest.mark.parametrize("row", ROWS)
def test_parameters_take_the_vendors_names(row: str) -> None:
    asked = written(LLMRequest.of("Hi", parameters=ALL), row)
    assert asked == {"model": "m", "messages": asked["messages"], **SAMPLING, **PARAMETERS.get(row, PLAIN)}


def test_parameters_of_the_request_go_before_those_of_the_configuration() -> None:
    config = LLMConfig.custom("m", temperature=0.1, max_tokens=5)
    asked = written(LLMRequest.of("Hi", parameters=Parameters(temperature=0.9)), config=config)
    assert (asked["temperature"], asked["max_tokens"]) == (0.9, 5)
    assert written(LLMRequest.of("Hi", parameters=config.parameters), config=config)["temperature"] == 0.1


def test_more_stop_texts_than_the_vendor_takes_are_refused() -> None:
    request = LLMRequest.of("Hi", parameters=Parameters(stop=("a", "b", "c", "d", "e")))
    with pytest.raises(CapabilityError, match="at most 4 stop texts"):
        written(request, "openai")
    assert written(request, "vllm")["stop"] == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("row", ROWS)
def test_tools_are_functions(row: str) -> None:
    asked = written(LLMRequest.of("Hi", tools=[LOOK, PING]), row)
    look = {name: value for name, value in WIRE_LOOK.items() if name != "strict" or row not in ("deepseek", "together")}
    if row in SUBSET:
        look["parameters"] = {**LOOK.parameters, "additionalProperties": False, "required": ["city"]}
    assert asked["tools"] == [{"type": "function", "function": look}, {"type": "function", "function": WIRE_PING}]
    assert "tool_choice" not in asked


@pytest.mark.parametrize("row", ROWS)
def test_the_tool_choice_is_said_in_the_vendors_words(row: str) -> None:
    def asked(choice: ToolChoice) -> Wire:
        return written(LLMRequest((Message.user("Hi"),), (LOOK, PING), choice), row)

    assert asked("none")["tool_choice"] == "none"
    assert asked("required")["tool_choice"] == ("any" if row == "mistral" else "required")
    named = asked(ToolNamed("ping"))
    if row in ("lm_studio", "llamacpp", "local", "ollama"):
        assert named["tool_choice"] == "required"
        assert named["tools"] == [{"type": "function", "function": WIRE_PING}]
    else:
        assert named["tool_choice"] == {"type": "function", "function": {"name": "ping"}}
        assert isinstance(named["tools"], list)
        assert len(named["tools"]) == 2


SCHEMA: Mapping[str, JSON] = {"type": "object", "properties": {"a": {"type": "integer"}}}
CLOSED: Mapping[str, JSON] = {**SCHEMA, "additionalProperties": False, "required": ["a"]}
WIRE_SCHEMA: Wire = {"name": "thing", "schema": SCHEMA, "strict": True, "description": "A thing."}


@pytest.mark.parametrize("row", ROWS)
def test_a_schema_is_sent_or_refused_but_never_weakened(row: str) -> None:
    request = LLMRequest.of("Hi", output=OutputSpec(SCHEMA, "thing", description="A thing."))
    if row == "deepseek":
        with pytest.raises(CapabilityError, match="JSON Schema"):
            written(request, row)
    else:
        wire = {**WIRE_SCHEMA, "schema": CLOSED} if row in SUBSET else WIRE_SCHEMA
        assert written(request, row)["response_format"] == {"type": "json_schema", "json_schema": wire}


def test_a_schema_need_not_be_strict_nor_described() -> None:
    form = written(LLMRequest.of("Hi", output=OutputSpec(SCHEMA, strict=False)))["response_format"]
    assert form == {"type": "json_schema", "json_schema": {"name": "output", "schema": SCHEMA}}


@pytest.mark.parametrize("row", ROWS)
def test_json_mode_is_asked_for_as_the_vendor_knows_it(row: str) -> None:
    form = written(LLMRequest.of("Hi", output=OutputSpec()), row)["response_format"]
    if row in ("lm_studio", "perplexity"):
        any_object = {"type": "object", "additionalProperties": True}
        assert form == {"type": "json_schema", "json_schema": {"name": "output", "schema": any_object}}
    else:
        assert form == {"type": "json_object"}


def test_pictures_are_sent_as_data_or_passed_on_as_addresses() -> None:
    picture = Image(data=b"\x89PNG", media_type="image/png")
    address = Image(url="https://example.com/a.png", detail="low")
    assert messages(Message.user("Look: ", picture, address)) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look: "},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
            ],
        }
    ]


def test_detail_is_left_out_where_the_vendor_does_not_know_it() -> None:
    request = LLMRequest.of(Image(url="https://example.com/a.png", detail="low"))
    (message,) = _list(written(request, quirks=ChatQuirks(image_detail=False))["messages"])
    assert message["content"] == [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]


def test_several_texts_are_joined_where_content_is_one_text_and_pictures_are_refused() -> None:
    assert messages(Message.user("a", "b"), row="deepseek") == [{"role": "user", "content": "ab"}]
    with pytest.raises(CapabilityError, match="no pictures"):
        messages(Message.user("a", Image(url="https://example.com/a.png")), row="deepseek")


def test_a_conversation_with_tools_goes_back_as_it_was() -> None:
    said = (
        Message.user("Hi"),
        Message.assistant("I look.", tool_calls=[CALL]),
        Message.tool(ToolResult("call_1", {"sun": True}, name="look"), ToolResult("call_2", "none")),
        Message.assistant("Sunny."),
        Message.assistant(tool_calls=[ToolCall("call_3", "look", None, '{"city":')]),
    )
    assert messages(*said) == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "I look.", "tool_calls": [WIRE_CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": '{"sun":true}'},
        {"role": "tool", "tool_call_id": "call_2", "content": "none"},
        {"role": "assistant", "content": "Sunny."},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "call_3", "type": "function", "function": {"name": "look", "arguments": '{"city":'}}],
        },
    ]


def test_mistral_gets_ids_of_nine_characters_alike_in_call_and_result() -> None:
    own = ToolCall("JZyQw7Md7", "look", {})
    said = Message.assistant(tool_calls=[CALL, own]), Message.tool(ToolResult("call_1", "x", name="look"))
    assistant, result = _list(messages(*said, row="mistral"))
    first, second = _list(assistant["tool_calls"])
    assert second["id"] == "JZyQw7Md7"
    assert result == {"role": "tool", "tool_call_id": first["id"], "content": "x", "name": "look"}
    assert isinstance(first["id"], str)
    assert len(first["id"]) == 9
    assert first["id"].isalnum()


def test_speakers_are_named_where_the_vendor_knows_names() -> None:
    said = Message("user", (Text("Hi"),), name="ann")
    assert messages(said) == [{"role": "user", "content": "Hi", "name": "ann"}]
    for row in ("mistral", "groq"):
        assert messages(said, row=row) == [{"role": "user", "content": "Hi"}]


CACHED = {"cache_control": {"type": "ephemeral"}}


def test_where_the_cached_part_ends_is_told_to_those_who_want_to_know() -> None:
    picture = Image(url="https://example.com/a.png")
    said = (
        Message("system", (Text("Rules."),), cache_point=True),
        Message("user", (Text("Look."), picture), cache_point=True),
        Message("assistant", (CALL,), cache_point=True),
        Message("tool", (ToolResult("call_1", "x"), ToolResult("call_2", "y")), cache_point=True),
    )
    system, user, assistant, first, last = _list(messages(*said, row="openrouter"))
    assert system["content"] == [{"type": "text", "text": "Rules.", **CACHED}]
    assert _list(user["content"])[0] == {"type": "text", "text": "Look."}
    assert _list(user["content"])[1] == {"type": "image_url", "image_url": {"url": picture.url}, **CACHED}
    assert assistant["content"] == ""
    assert (first["content"], last["content"]) == ("x", [{"type": "text", "text": "y", **CACHED}])
    assert "cache_control" not in str(messages(*said))


def test_no_more_than_the_last_four_places_are_told() -> None:
    said = [Message("user", (Text(str(number)),), cache_point=True) for number in range(6)]
    asked = _list(messages(*said, row="openrouter"))
    assert ["cache_control" in str(each) for each in asked] == [False, False, True, True, True, True]


THOUGHT = Reasoning("Hm.")
DETAIL: Mapping[str, JSON] = {"type": "reasoning.text", "text": "Hm.", "signature": "s", "index": 0}
THINKING: Mapping[str, JSON] = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}


@pytest.mark.parametrize(
    ("row", "thoughts", "added"),
    [
        ("openai", [THOUGHT], {}),
        ("custom", [THOUGHT], {}),
        ("xai", [THOUGHT], {}),
        ("vllm", [THOUGHT, THOUGHT], {"reasoning": "Hm.Hm."}),
        ("groq", [THOUGHT], {"reasoning": "Hm."}),
        ("deepseek", [THOUGHT], {"reasoning_content": "Hm."}),
        ("llamacpp", [Reasoning("", signature="s")], {}),
        ("openrouter", [Reasoning("Hm.", "s", wire=DETAIL)], {"reasoning_details": [DETAIL]}),
        ("openrouter", [THOUGHT], {"reasoning": "Hm."}),
        ("openrouter", [Reasoning("Hm.", wire=THINKING)], {"reasoning": "Hm."}),
        ("openrouter", [Reasoning("", "s", wire={**DETAIL, "text": ""}, origin="anthropic")], {}),
        ("openrouter", [Reasoning("Hm.", "s", origin="anthropic")], {}),
        ("vllm", [Reasoning("Hm.", "s", origin="anthropic"), Reasoning("So.", origin="cohere")], {"reasoning": "So."}),
        ("mistral", [Reasoning("Hm.", wire=THINKING, origin="anthropic")], {}),
        ("mistral", [THOUGHT], {}),
        ("mistral", [Reasoning("Hm.", wire=THINKING)], {"content": [THINKING, {"type": "text", "text": "So."}]}),
    ],
)
def test_thinking_goes_back_in_the_form_the_vendor_wants_or_not_at_all(
    row: str, thoughts: Sequence[Reasoning], added: Wire
) -> None:
    said = Message.assistant("So.", reasoning=thoughts)
    assert messages(said, row=row) == [{"role": "assistant", "content": "So.", **added}]


def test_thinking_without_text_goes_back_alone() -> None:
    said = Message.assistant(reasoning=[Reasoning("Hm.", wire=THINKING)], tool_calls=[CALL])
    (message,) = _list(messages(said, row="mistral"))
    assert message["content"] == [THINKING]


def test_what_came_beside_a_call_goes_back_with_it_to_those_who_know_it() -> None:
    said = Message.assistant(tool_calls=[ToolCall("c", "look", {}, signature='{"google":{"thought_signature":"x"}}')])
    (custom,) = _list(messages(said))
    (openai,) = _list(messages(said, row="openai"))
    assert _list(custom["tool_calls"])[0]["extra_content"] == {"google": {"thought_signature": "x"}}
    assert "extra_content" not in _list(openai["tool_calls"])[0]


def test_extra_fields_go_into_the_body_and_the_requests_own_win() -> None:
    config = LLMConfig.custom("m", extra={"top_k": 5, "user": "a"}, max_tokens=9)
    request = LLMRequest((Message.user("Hi"),), extra={"user": "b", "max_tokens": 3, "tuple": (1, 2)})
    asked = written(request, config=config)
    assert (asked["top_k"], asked["user"], asked["max_tokens"], asked["tuple"]) == (5, "b", 3, [1, 2])


@pytest.mark.parametrize("name", ["messages", "model", "stream"])
def test_extra_cannot_set_what_is_ours(name: str) -> None:
    with pytest.raises(LLMValidationError, match=name):
        written(LLMRequest((Message.user("Hi"),), extra={name: "x"}))


def test_mappings_and_sequences_of_other_makes_are_written_too() -> None:
    nothing: Mapping[str, JSON] = MappingProxyType({})
    schema: Mapping[str, JSON] = MappingProxyType({"type": "object", "properties": nothing})
    asked = written(LLMRequest((Message.user("Hi"),), (Tool("t", parameters=schema),), extra={"range": range(2)}))
    (tool,) = _list(asked["tools"])
    assert tool["function"] == {"name": "t", "parameters": {"type": "object", "properties": {}}}
    assert asked["range"] == [0, 1]


ENDLESS: list[JSON] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (LLMRequest.of("half \ud83d"), "half a surrogate pair"),
        (LLMRequest((Message.user("Hi"),), extra={"a": object()}), "a value of type object is no JSON"),  # type: ignore[dict-item]
        (LLMRequest((Message.user("Hi"),), extra={"a": ENDLESS}), "RecursionError"),
        (LLMRequest((Message.tool(ToolResult("c", {"a": {1: object()}})),)), "is no JSON"),  # type: ignore[dict-item]
    ],
    ids=["surrogate", "object", "endless", "result"],
)
def test_what_is_no_json_is_refused_before_anything_is_sent(request_: LLMRequest, said: str) -> None:
    with pytest.raises(LLMValidationError, match=said):
        written(request_)


def _list(value: object) -> list[Wire]:
    assert isinstance(value, list)
    return value
