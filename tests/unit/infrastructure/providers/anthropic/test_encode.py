"""Requests are written as Anthropic and its likes accept them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, LLMValidationError
from loomwire.domain.messages import Message
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters, ReasoningEffort
from loomwire.domain.tools import Tool, ToolChoice, ToolNamed
from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.providers.anthropic.messages import AnthropicMessages
from loomwire.infrastructure.providers.anthropic.quirks import AnthropicQuirks
from loomwire.infrastructure.providers.speech import dialect_of, speech
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS
from loomwire.infrastructure.providers.wire.blocks.output_tool import OUTPUT_TOOL
from support.json_reading import objects

NEW = LLMConfig.anthropic("claude-opus-5", api_key="k")
OLD = LLMConfig.anthropic("claude-sonnet-4-0", api_key="k")
LOOK = Tool("look", "Looks.", {"type": "object", "properties": {"city": {"type": "string"}}}, strict=True)
PING = Tool("ping")
CITY: dict[str, JSON] = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
CLOSED = {**CITY, "additionalProperties": False}
BOUNDED: dict[str, JSON] = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}}
LOCAL = AnthropicQuirks(json_form="tool", named_tool=False)


def written(
    request: LLMRequest, config: LLMConfig = NEW, quirks: AnthropicQuirks = AnthropicQuirks(), *, stream: bool = False
) -> dict[str, JSON]:
    """Return the body of a request."""
    body: dict[str, JSON] = json.loads(AnthropicMessages(quirks).encode(request, config, stream=stream))
    return body


def asked(*tools: Tool, choice: ToolChoice = "auto", output: OutputSpec | None = None) -> LLMRequest:
    return LLMRequest((Message.user("Hi"),), tools=tools, tool_choice=choice, output=output)


def with_parameters(parameters: Parameters) -> LLMRequest:
    return replace(asked(), parameters=parameters)


def test_a_plain_request_is_short() -> None:
    assert written(asked()) == {
        "model": "claude-opus-5",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 4096,
    }
    assert written(asked(), stream=True)["stream"] is True


def test_the_version_is_a_header() -> None:
    assert AnthropicMessages().headers(NEW) == {"anthropic-version": "2023-06-01"}
    assert AnthropicMessages().path(NEW, stream=True) == "/messages"


def test_every_parameter_has_its_name_and_what_the_vendor_has_not_is_left_out() -> None:
    body = written(
        with_parameters(
            Parameters(temperature=0.5, top_p=0.9, max_tokens=9, stop=("END",), seed=7, presence_penalty=1.0)
        )
    )
    assert {key: body[key] for key in body.keys() - {"model", "messages"}} == {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 9,
        "stop_sequences": ["END"],
    }


def test_a_bound_of_the_output_is_always_there() -> None:
    known = replace(NEW, capabilities=ModelCapabilities(max_tokens=64_000))
    assert written(asked(), known)["max_tokens"] == 64_000
    assert written(asked(), replace(known, parameters=Parameters(max_tokens=7)))["max_tokens"] == 7
    assert written(asked(), NEW, AnthropicQuirks(max_tokens=100))["max_tokens"] == 100


def test_a_temperature_that_the_vendor_refuses_is_refused_and_not_lowered() -> None:
    with pytest.raises(CapabilityError, match=r"up to 1, not 1\.5"):
        written(with_parameters(Parameters(temperature=1.5)))
    assert (
        written(with_parameters(Parameters(temperature=1.5)), NEW, AnthropicQuirks(hottest=2.0))["temperature"] == 1.5
    )


@pytest.mark.parametrize(("effort", "budget"), [("minimal", 1024), ("low", 2048), ("medium", 8192), ("high", 16_384)])
def test_a_model_with_a_budget_gets_one_beside_room_for_the_answer(effort: ReasoningEffort, budget: int) -> None:
    body = written(with_parameters(Parameters(reasoning_effort=effort)), OLD)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": budget}
    assert body["max_tokens"] == 4096 + budget
    assert "output_config" not in body


def test_a_budget_stays_below_the_bound_of_the_output() -> None:
    body = written(with_parameters(Parameters(reasoning_effort="high", max_tokens=5000)), OLD)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 4000}
    assert body["max_tokens"] == 5000
    least = written(with_parameters(Parameters(reasoning_effort="high", max_tokens=1025)), OLD)
    assert least["thinking"] == {"type": "enabled", "budget_tokens": 1024}
    with pytest.raises(CapabilityError, match="leaves 1024 in all"):
        written(with_parameters(Parameters(reasoning_effort="low", max_tokens=1024)), OLD)


@pytest.mark.parametrize("config", [NEW, OLD])
@pytest.mark.parametrize(
    ("told", "says"),
    [
        (Parameters(temperature=0.2), "temperature 1 only, not 0.2"),
        (Parameters(temperature=0.0), "temperature 1 only, not 0"),
        (Parameters(top_p=0.9), "top_p of 0.95 or more, not 0.9"),
    ],
)
def test_what_claude_refuses_while_it_thinks_is_refused_before_it_is_sent(
    config: LLMConfig, told: Parameters, says: str
) -> None:
    with pytest.raises(CapabilityError, match=says) as caught:
        written(with_parameters(replace(told, reasoning_effort="low")), config)
    assert "reasoning_effort" in (caught.value.hint or "")
    written(with_parameters(replace(told, reasoning_effort="none")), config)
    written(with_parameters(told), config)
    # Others' servers take it.
    written(with_parameters(replace(told, reasoning_effort="low")), config, AnthropicQuirks(thinking="budget"))
    assert written(with_parameters(Parameters(temperature=1.0, top_p=0.95, reasoning_effort="low")), config)["thinking"]


def test_a_newer_model_is_told_the_effort() -> None:
    body = written(with_parameters(Parameters(reasoning_effort="minimal")))
    assert (body["thinking"], body["output_config"]) == ({"type": "adaptive"}, {"effort": "low"})
    both = AnthropicQuirks(thinking="budget_and_effort")
    body = written(with_parameters(Parameters(reasoning_effort="high")), NEW, both)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 16_384}
    assert body["output_config"] == {"effort": "high"}


def test_thinking_can_be_off_or_unknown() -> None:
    assert written(with_parameters(Parameters(reasoning_effort="none")))["thinking"] == {"type": "disabled"}
    assert "thinking" not in written(
        with_parameters(Parameters(reasoning_effort="high")), NEW, AnthropicQuirks(thinking="no")
    )


def test_tools_carry_their_schema_and_strictness_where_both_sides_can() -> None:
    closed = {**LOOK.parameters, "additionalProperties": False}
    none = {"type": "object", "properties": {}}
    assert written(asked(LOOK, PING))["tools"] == [
        {"name": "look", "input_schema": closed, "description": "Looks.", "strict": True},
        {"name": "ping", "input_schema": none},
    ]
    unstrict = [{"name": "look", "input_schema": LOOK.parameters, "description": "Looks."}]
    assert written(asked(LOOK), OLD)["tools"] == unstrict
    assert written(asked(LOOK), NEW, AnthropicQuirks(strict_tools=False))["tools"] == unstrict
    bounded = Tool("age", parameters=BOUNDED, strict=True)
    assert written(asked(bounded))["tools"] == [{"name": "age", "input_schema": BOUNDED}]


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        (ToolNamed("ping"), {"type": "tool", "name": "ping"}),
    ],
)
def test_every_tool_choice_has_its_word(choice: ToolChoice, wire: JSON) -> None:
    assert written(asked(LOOK, PING, choice=choice))["tool_choice"] == wire
    assert "tool_choice" not in written(asked(LOOK, PING))


def test_where_no_tool_can_be_named_only_that_one_is_there() -> None:
    body = written(asked(LOOK, PING, choice=ToolNamed("ping")), NEW, LOCAL)
    assert body["tool_choice"] == {"type": "any"}
    assert body["tools"] == [{"name": "ping", "input_schema": {"type": "object", "properties": {}}}]


def test_an_answer_is_held_to_a_schema_by_the_vendors_format() -> None:
    body = written(replace(asked(output=OutputSpec(CITY)), parameters=Parameters(reasoning_effort="low")))
    assert body["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": CLOSED}}
    assert "tools" not in body
    assert written(asked(output=OutputSpec(CITY)))["output_config"] == {
        "format": {"type": "json_schema", "schema": CLOSED}
    }


@pytest.mark.parametrize(
    ("config", "output"), [(OLD, OutputSpec(CITY)), (NEW, OutputSpec(BOUNDED)), (NEW, OutputSpec())]
)
def test_what_the_format_cannot_hold_is_shown_whole_to_a_tool_that_must_be_called(
    config: LLMConfig, output: OutputSpec
) -> None:
    body = written(asked(output=output), config)
    (tool,) = tools_of(body)
    assert tool["name"] == OUTPUT_TOOL
    assert tool["input_schema"] == (output.schema or {"type": "object", "additionalProperties": True})
    assert body["tool_choice"] == {"type": "tool", "name": OUTPUT_TOOL, "disable_parallel_tool_use": True}
    assert "output_config" not in body


def test_only_the_format_refuses_what_it_cannot_say() -> None:
    with pytest.raises(CapabilityError, match="minimum"):
        written(asked(output=OutputSpec(BOUNDED)), NEW, AnthropicQuirks(json_form="format"))
    body = written(asked(output=OutputSpec(CITY)), OLD, AnthropicQuirks(json_form="format"))
    assert "output_config" in body


def tools_of(body: dict[str, JSON]) -> list[JSONObject]:
    return objects(body["tools"])


def test_the_tool_of_the_answer_leaves_the_callers_tools_their_place() -> None:
    spec = OutputSpec(CITY, description="A city.")
    free = written(asked(PING, output=spec), OLD)
    assert [tool["name"] for tool in tools_of(free)] == ["ping", OUTPUT_TOOL]
    assert str(tools_of(free)[1]["description"]).endswith("A city.")
    assert free["tool_choice"] == {"type": "any"}
    forbidden = written(asked(PING, choice="none", output=spec), OLD)
    assert [tool["name"] for tool in tools_of(forbidden)] == ["ping", OUTPUT_TOOL]
    assert forbidden["tool_choice"] == {"type": "tool", "name": OUTPUT_TOOL, "disable_parallel_tool_use": True}
    alone = written(asked(PING, choice="none", output=spec), OLD, LOCAL)
    assert [tool["name"] for tool in tools_of(alone)] == [OUTPUT_TOOL]
    assert alone["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}


@pytest.mark.parametrize("choice", ["required", ToolNamed("ping")])
def test_a_call_that_must_come_is_the_answer_and_has_no_other_shape(choice: ToolChoice) -> None:
    body = written(asked(PING, choice=choice, output=OutputSpec(CITY)), OLD)
    assert [tool["name"] for tool in tools_of(body)] == ["ping"]
    assert OUTPUT_TOOL not in str(body["tool_choice"])


def test_the_name_of_the_answers_tool_cannot_be_taken() -> None:
    with pytest.raises(CapabilityError, match="is taken"):
        written(asked(Tool(OUTPUT_TOOL), output=OutputSpec()))


def test_vendor_fields_stand_beside_ours() -> None:
    search: JSON = {"type": "web_search_20250305", "name": "web_search"}
    request = replace(
        asked(PING, output=OutputSpec(CITY)),
        extra={"tools": [search], "output_config": {"effort": "max"}, "metadata": {"user_id": "u"}},
    )
    body = written(request)
    assert [tool["name"] for tool in tools_of(body)] == ["ping", "web_search"]
    assert body["output_config"] == {"effort": "max", "format": {"type": "json_schema", "schema": CLOSED}}
    assert body["metadata"] == {"user_id": "u"}
    parallel: JSON = {"type": "auto", "disable_parallel_tool_use": True}
    assert written(replace(asked(PING), extra={"tool_choice": parallel}))["tool_choice"] == parallel
    with pytest.raises(LLMValidationError, match="system"):
        written(replace(asked(), extra={"system": "mine"}))


@pytest.mark.parametrize(
    "name", [row.name for row in PROVIDERS.values() if "anthropic" in [also.dialect for also in row.also]]
)
def test_every_further_vendor_takes_a_full_request(name: str) -> None:
    config = LLMConfig(type=name, model="m", dialect="anthropic", base_url="https://x.example/v1", keys=NEW.keys)
    dialect = dialect_of(speech(config, PROVIDERS[name], DIALECTS), DIALECTS)
    request = replace(
        asked(LOOK, choice=ToolNamed("look")), parameters=Parameters(temperature=0.9, reasoning_effort="high")
    )
    body = json.loads(dialect.encode(request, config, stream=True))
    assert body["max_tokens"] >= 4096
    assert body["tools"][0]["name"] == "look"


@pytest.mark.parametrize(
    "request_", [asked(LOOK, choice="required"), asked(LOOK, choice=ToolNamed("look")), asked(output=OutputSpec(CITY))]
)
def test_claude_does_not_think_beside_a_call_that_it_must_make(request_: LLMRequest) -> None:
    thoughtful = replace(request_, parameters=Parameters(reasoning_effort="high"))
    body = written(thoughtful, OLD)
    assert "tool_choice" in body
    assert "thinking" not in body
    assert "thinking" in written(thoughtful, OLD, replace(LOCAL, thinking="budget"))
