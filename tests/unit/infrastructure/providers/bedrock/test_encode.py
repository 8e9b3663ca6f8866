"""Requests are written as Converse wants them, and what it cannot express is refused before it is sent."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, LLMError, LLMValidationError
from loomwire.domain.messages import Message, ToolResult
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters, ReasoningEffort
from loomwire.domain.tools import Tool, ToolNamed
from loomwire.domain.values import JSON, JSONObject, ToolCall
from loomwire.infrastructure.providers.bedrock.converse import BedrockConverse
from loomwire.infrastructure.providers.bedrock.quirks import BedrockQuirks
from loomwire.infrastructure.providers.wire.blocks.output_tool import OUTPUT_TOOL

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
SCHEMA: JSONObject = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
LOOSE: JSONObject = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
LOOK = Tool("look", "Looks.", SCHEMA)
BARE = Tool("bare")
ASKED = LLMRequest.of("Hi")


def sent(
    request: LLMRequest, model: str = "m", quirks: BedrockQuirks = BedrockQuirks(), **extra: JSON
) -> dict[str, JSON]:
    """Return the body of a request."""
    config = replace(LLMConfig.bedrock(model, region="us-east-1"), extra=extra)
    body: dict[str, JSON] = json.loads(BedrockConverse(quirks).encode(request, config, stream=False))
    return body


def spec(tool: Tool, **more: JSON) -> JSON:
    """Return a tool as it is written."""
    told: dict[str, JSON] = {"description": tool.description} if tool.description else {}
    schema: JSON = dict(tool.parameters) or {"type": "object", "properties": {}}
    return {"toolSpec": {"name": tool.name, **told, "inputSchema": {"json": schema}, **more}}


def test_the_least_request_is_the_conversation_alone() -> None:
    assert sent(ASKED) == {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}


def test_parameters_stand_where_converse_wants_them_and_unknown_ones_are_left_out() -> None:
    asked = Parameters(
        temperature=0.5, top_p=0.9, max_tokens=7, stop=("a", "b"), seed=1, presence_penalty=1, frequency_penalty=1
    )
    assert sent(replace(ASKED, parameters=asked))["inferenceConfig"] == {
        "temperature": 0.5,
        "topP": 0.9,
        "maxTokens": 7,
        "stopSequences": ["a", "b"],
    }
    config = replace(LLMConfig.bedrock("m", temperature=0.25), parameters=Parameters(temperature=0.25))
    assert json.loads(BedrockConverse().encode(ASKED, config, stream=True))["inferenceConfig"] == {"temperature": 0.25}


def test_a_temperature_that_it_does_not_take_is_refused() -> None:
    hot = replace(ASKED, parameters=Parameters(temperature=1.5))
    with pytest.raises(CapabilityError, match="up to 1"):
        sent(hot)
    assert sent(hot, quirks=BedrockQuirks(hottest=2))["inferenceConfig"] == {"temperature": 1.5}


def test_tools_and_every_choice_among_them() -> None:
    asked = replace(ASKED, tools=(LOOK, BARE))
    tools: JSON = [spec(LOOK), spec(BARE)]
    assert sent(asked)["toolConfig"] == {"tools": tools}
    assert sent(replace(asked, tool_choice="required"))["toolConfig"] == {"tools": tools, "toolChoice": {"any": {}}}
    named = sent(replace(asked, tool_choice=ToolNamed("look")))["toolConfig"]
    assert named == {"tools": tools, "toolChoice": {"tool": {"name": "look"}}}


def test_no_tool_means_that_none_is_sent_unless_some_were_used() -> None:
    asked = replace(ASKED, tools=(LOOK,), tool_choice="none")
    assert "toolConfig" not in sent(asked)
    used = asked.extended(
        Message.assistant(tool_calls=[ToolCall("a", "look", {})]), Message.tool(ToolResult("a", "wet", "look"))
    )
    with pytest.raises(CapabilityError, match="cannot be kept from calling tools"):
        sent(used)


def test_a_strict_tool_is_closed_where_the_model_knows_that() -> None:
    strict = replace(LOOK, strict=True)
    closed = replace(LOOK, parameters={**SCHEMA, "additionalProperties": False})
    asked = replace(ASKED, tools=(strict,))
    assert sent(asked, CLAUDE)["toolConfig"] == {"tools": [spec(closed, strict=True)]}
    assert sent(asked)["toolConfig"] == {"tools": [spec(LOOK)]}
    assert sent(asked, CLAUDE, BedrockQuirks(strict_tools=False))["toolConfig"] == {"tools": [spec(LOOK)]}
    unsayable = Tool("loose", parameters=LOOSE, strict=True)
    assert sent(replace(ASKED, tools=(unsayable,)), CLAUDE)["toolConfig"] == {"tools": [spec(unsayable)]}


def test_an_answer_is_held_to_a_schema_by_the_services_format() -> None:
    asked = replace(ASKED, output=OutputSpec(SCHEMA, name="place", description="A place."))
    written = sent(asked, CLAUDE)["outputConfig"]
    assert isinstance(written, dict)
    form = written["textFormat"]
    assert isinstance(form, dict)
    given = json.loads(json.dumps(form))["structure"]["jsonSchema"]
    assert form["type"] == "json_schema"
    assert json.loads(given.pop("schema")) == {**SCHEMA, "additionalProperties": False}
    assert given == {"name": "place", "description": "A place."}
    with pytest.raises(CapabilityError, match="minimum"):
        sent(replace(ASKED, output=OutputSpec(LOOSE)), quirks=BedrockQuirks(json_form="format"))


@pytest.mark.parametrize(
    ("model", "schema", "json_form"), [("m", SCHEMA, "by_model"), (CLAUDE, LOOSE, "by_model"), (CLAUDE, SCHEMA, "tool")]
)
def test_what_the_format_cannot_do_a_tool_does(model: str, schema: JSONObject, json_form: str) -> None:
    quirks = BedrockQuirks(json_form="tool" if json_form == "tool" else "by_model")
    body = sent(replace(ASKED, output=OutputSpec(schema)), model, quirks)
    assert "outputConfig" not in body
    written = body["toolConfig"]
    assert isinstance(written, dict)
    assert written["toolChoice"] == {"tool": {"name": OUTPUT_TOOL}}
    (tool,) = json.loads(json.dumps(written["tools"]))
    assert tool["toolSpec"]["inputSchema"] == {"json": schema}


def test_any_object_is_asked_for_by_a_tool() -> None:
    written = json.loads(json.dumps(sent(replace(ASKED, output=OutputSpec(None)), CLAUDE)["toolConfig"]))
    assert written["tools"][0]["toolSpec"]["inputSchema"] == {"json": {"type": "object", "additionalProperties": True}}


def test_the_tool_that_gives_the_answer_stands_beside_the_callers() -> None:
    asked = replace(ASKED, tools=(LOOK,), output=OutputSpec(SCHEMA))
    written = json.loads(json.dumps(sent(asked)["toolConfig"]))
    assert [tool["toolSpec"]["name"] for tool in written["tools"]] == ["look", OUTPUT_TOOL]
    assert written["toolChoice"] == {"any": {}}
    alone = json.loads(json.dumps(sent(replace(asked, tool_choice="none"))["toolConfig"]))
    assert [tool["toolSpec"]["name"] for tool in alone["tools"]] == [OUTPUT_TOOL]
    # Where a tool must be called, the call is the answer.
    forced = sent(replace(asked, tool_choice="required"))
    assert forced["toolConfig"] == {"tools": [spec(LOOK)], "toolChoice": {"any": {}}}
    with pytest.raises(CapabilityError, match="is taken"):
        sent(replace(asked, tools=(Tool(OUTPUT_TOOL),)))


@pytest.mark.parametrize(
    ("model", "effort", "wanted"),
    [
        ("anthropic.claude-3-7-sonnet-v1:0", "high", {"thinking": {"type": "enabled", "budget_tokens": 16384}}),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", "none", {"thinking": {"type": "disabled"}}),
        ("anthropic.claude-opus-4-6-v1", "none", {"thinking": {"type": "disabled"}}),
        ("amazon.nova-2-lite-v1:0", "minimal", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}),
        ("us.amazon.nova-2-lite-v1:0", "none", {"reasoningConfig": {"type": "disabled"}}),
        ("openai.gpt-oss-120b-1:0", "medium", {"reasoning_effort": "medium"}),
        ("openai.gpt-oss-120b-1:0", "none", None),
        ("meta.llama3-70b-instruct-v1:0", "high", None),
    ],
)  # fmt: skip
def test_every_family_is_told_how_much_to_think_in_its_own_way(
    model: str, effort: ReasoningEffort, wanted: JSON
) -> None:
    body = sent(replace(ASKED, parameters=Parameters(reasoning_effort=effort)), model)
    assert body.get("additionalModelRequestFields") == wanted
    assert "outputConfig" not in body


def test_a_claude_that_decides_itself_is_told_the_effort_beside_the_format() -> None:
    asked = replace(ASKED, parameters=Parameters(reasoning_effort="low"), output=OutputSpec(SCHEMA))
    body = sent(asked, "anthropic.claude-opus-4-6-v1")
    assert body["additionalModelRequestFields"] == {"thinking": {"type": "adaptive"}}
    written = body["outputConfig"]
    assert isinstance(written, dict)
    assert (written["effort"], set(written)) == ("low", {"effort", "textFormat"})
    plain = sent(replace(asked, output=None), "anthropic.claude-opus-4-6-v1")
    assert plain["outputConfig"] == {"effort": "low"}


def test_a_budget_of_thinking_leaves_room_for_the_answer() -> None:
    quirks = BedrockQuirks(thinking="claude_budget")
    asked = replace(ASKED, parameters=Parameters(reasoning_effort="high", max_tokens=5000))
    thinking: JSON = {"thinking": {"type": "enabled", "budget_tokens": 4000}}
    assert sent(asked, quirks=quirks)["additionalModelRequestFields"] == thinking
    with pytest.raises(CapabilityError, match="1024 tokens at least"):
        sent(replace(asked, parameters=Parameters(reasoning_effort="low", max_tokens=1024)), quirks=quirks)


def test_extra_adds_fields_and_pushes_none_of_ours_out() -> None:
    asked = replace(
        ASKED,
        tools=(LOOK,),
        parameters=Parameters(max_tokens=9, reasoning_effort="low"),
        extra={"requestMetadata": {"a": "b"}},
    )
    body = sent(
        asked,
        "openai.gpt-oss-20b-1:0",
        additionalModelRequestFields={"top_k": 3},
        inferenceConfig={"topP": 0.5},
        toolConfig={"tools": [{"systemTool": {"name": "nova_grounding"}}]},
        guardrailConfig={"guardrailIdentifier": "g"},
    )
    assert body["additionalModelRequestFields"] == {"reasoning_effort": "low", "top_k": 3}
    assert body["inferenceConfig"] == {"maxTokens": 9, "topP": 0.5}
    assert body["toolConfig"] == {"tools": [spec(LOOK), {"systemTool": {"name": "nova_grounding"}}]}
    assert (body["guardrailConfig"], body["requestMetadata"]) == ({"guardrailIdentifier": "g"}, {"a": "b"})
    assert sent(ASKED, toolConfig={"tools": []})["toolConfig"] == {"tools": []}
    chosen = sent(asked, toolConfig={"toolChoice": {"any": {}}})["toolConfig"]
    assert chosen == {"tools": [spec(LOOK)], "toolChoice": {"any": {}}}


@pytest.mark.parametrize("field", ["messages", "system"])
def test_extra_cannot_take_the_librarys_own_fields(field: str) -> None:
    with pytest.raises(LLMValidationError, match=field):
        sent(replace(ASKED, extra={field: []}))


def test_the_model_is_part_of_the_path_however_it_is_written() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    path = BedrockConverse().path(LLMConfig.bedrock(arn), stream=True)
    assert path == (
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc/converse-stream"
    )
    assert BedrockConverse().path(LLMConfig.bedrock("a/../b?c#d"), stream=False) == "/model/a%2F..%2Fb%3Fc%23d/converse"


def test_values_that_are_no_json_are_refused() -> None:
    odd = ASKED.extended(Message.tool(ToolResult("a", "\ud83d")))
    with pytest.raises(LLMError, match="cannot be written as JSON"):
        sent(odd)


def test_claude_thinks_with_no_temperature_of_its_callers_here_too() -> None:
    for told in (Parameters(temperature=0.2), Parameters(top_p=0.5)):
        thinking = replace(ASKED, parameters=replace(told, reasoning_effort="low"))
        with pytest.raises(CapabilityError, match="thinks "):
            sent(thinking, CLAUDE)
        assert sent(thinking, "openai.gpt-oss-120b-1:0")["additionalModelRequestFields"]
        assert sent(replace(ASKED, parameters=replace(told, reasoning_effort="none")), CLAUDE)
