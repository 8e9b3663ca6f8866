"""Requests of the Responses API are written as each vendor accepts them, and never lean on the server's memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

import pytest

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, ConfigError, LLMValidationError
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.tools import Tool, ToolChoice, ToolNamed
from loomwire.domain.values import JSON, Secret
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.providers.openai_responses.quirks import ResponsesQuirks
from loomwire.infrastructure.providers.openai_responses.responses import OpenAIResponses
from loomwire.infrastructure.providers.speech import dialect_of, speech
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.deferred import DeferredPool

Wire: TypeAlias = dict[str, object]

NAME = "openai_responses"
ROWS = ["openai", "azure_openai", "xai", "vllm", "lm_studio", "llamacpp", "local", "custom"]
SECRETIVE = ["openai", "azure_openai", "xai", "custom"]
ENCRYPTED = ["reasoning.encrypted_content"]
SCHEMA: Mapping[str, JSON] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
LOOK = Tool("look", "Looks.", SCHEMA, strict=True)
PING = Tool("ping")
WIRE_LOOK = {"type": "function", "name": "look", "description": "Looks.", "parameters": SCHEMA, "strict": True}
WIRE_PING = {"type": "function", "name": "ping", "parameters": {"type": "object", "properties": {}}, "strict": False}
ALL = Parameters(0.5, 0.9, 100, (), 7, 0.1, 0.2, "low")
SENT = {"temperature": 0.5, "top_p": 0.9, "max_output_tokens": 100, "reasoning": {"effort": "low"}}


def written(
    request: LLMRequest,
    row: str = "openai",
    *,
    stream: bool = False,
    config: LLMConfig | None = None,
    quirks: ResponsesQuirks | None = None,
) -> Wire:
    config = config or LLMConfig(type=row, model="gpt-5-mini", dialect=NAME)
    dialect = dialect_of(speech(config, PROVIDERS[config.type], DIALECTS), DIALECTS)
    dialect = dialect if quirks is None else OpenAIResponses(quirks)
    body: Wire = json.loads(dialect.encode(request, config, stream=stream))
    return body


@pytest.mark.parametrize("row", ROWS)
def test_a_plain_question_holds_the_conversation_and_asks_the_server_to_keep_nothing(row: str) -> None:
    asked = written(LLMRequest.of("Hi", system="Be brief."), row)
    role = "developer" if row == "azure_openai" else "system"
    secret = {"include": ENCRYPTED} if row in SECRETIVE else {}
    assert asked == {
        "model": "gpt-5-mini",
        "input": [{"role": role, "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "store": False,
        **secret,
    }


@pytest.mark.parametrize("stream", [False, True])
def test_only_a_stream_says_so(stream: bool) -> None:
    assert written(LLMRequest.of("Hi"), stream=stream).get("stream", False) is stream


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1-mini", "gpt-3.5-turbo", "chatgpt-4o-latest", "gpt-5-chat-latest"])
def test_a_model_that_does_not_think_is_not_asked_for_encrypted_thinking(model: str) -> None:
    config = LLMConfig(type="openai", model=model, dialect=NAME)
    assert "include" not in written(LLMRequest.of("Hi"), config=config)
    unsaid = replace(config, model="gpt-5", capabilities=ModelCapabilities(supports_reasoning=False))
    assert "include" not in written(LLMRequest.of("Hi"), config=unsaid)


PARAMETERS: Mapping[str, Wire] = {
    "vllm": {"seed": 7},
    "llamacpp": {"seed": 7, "presence_penalty": 0.1, "frequency_penalty": 0.2},
    "local": {"seed": 7, "presence_penalty": 0.1, "frequency_penalty": 0.2},
}


@pytest.mark.parametrize("row", ROWS)
def test_parameters_that_the_vendor_does_not_know_are_left_out(row: str) -> None:
    asked = written(LLMRequest.of("Hi", parameters=ALL), row)
    plain = written(LLMRequest.of("Hi"), row)
    assert asked == {**plain, **SENT, **PARAMETERS.get(row, {})}


def test_penalties_are_sent_only_when_given() -> None:
    quirks = ResponsesQuirks(penalties=True, seed=True, store=False, reasoning_effort=False)
    asked = written(LLMRequest.of("Hi", parameters=Parameters(seed=1, reasoning_effort="low")), quirks=quirks)
    assert asked.keys() == {"model", "input", "include", "seed"}


def test_parameters_of_the_request_go_before_those_of_the_configuration() -> None:
    config = LLMConfig(type="openai", model="m", dialect=NAME, parameters=Parameters(temperature=0.1, max_tokens=5))
    asked = written(LLMRequest.of("Hi", parameters=Parameters(temperature=0.9)), config=config)
    assert (asked["temperature"], asked["max_output_tokens"]) == (0.9, 5)
    assert written(LLMRequest.of("Hi", parameters=config.parameters), config=config)["temperature"] == 0.1


@pytest.mark.parametrize("row", [row for row in ROWS if row not in ("llamacpp", "local")])
def test_stop_texts_that_nobody_would_stop_at_are_refused(row: str) -> None:
    with pytest.raises(CapabilityError, match="takes no stop texts over the Responses API"):
        written(LLMRequest.of("Hi", parameters=Parameters(stop=("END",))), row)


def test_stop_texts_are_sent_where_the_server_knows_them() -> None:
    request = LLMRequest.of("Hi", parameters=Parameters(stop=("a", "b")))
    assert written(request, "llamacpp")["stop"] == ["a", "b"]
    with pytest.raises(CapabilityError, match="at most 1 stop texts"):
        written(request, quirks=ResponsesQuirks(stop_limit=1))


@pytest.mark.parametrize("row", ROWS)
def test_tools_are_functions_that_say_whether_they_are_strict(row: str) -> None:
    asked = written(LLMRequest.of("Hi", tools=[LOOK, PING]), row)
    assert asked["tools"] == [WIRE_LOOK, WIRE_PING]
    assert "tool_choice" not in asked


def test_a_vendor_without_strict_tools_is_not_told_of_them() -> None:
    asked = written(LLMRequest.of("Hi", tools=[LOOK]), quirks=ResponsesQuirks(strict_tools=False))
    assert asked["tools"] == [{key: value for key, value in WIRE_LOOK.items() if key != "strict"}]


@pytest.mark.parametrize("choice", ["none", "required"])
def test_a_tool_choice_in_a_word_is_that_word(choice: ToolChoice) -> None:
    assert written(replace(LLMRequest.of("Hi", tools=[PING]), tool_choice=choice))["tool_choice"] == choice


@pytest.mark.parametrize("row", ROWS)
def test_a_forced_tool_is_named_or_the_only_one(row: str) -> None:
    asked = written(replace(LLMRequest.of("Hi", tools=[LOOK, PING]), tool_choice=ToolNamed("ping")), row)
    if row in ("lm_studio", "llamacpp", "local"):
        assert (asked["tool_choice"], asked["tools"]) == ("required", [WIRE_PING])
    else:
        assert (asked["tool_choice"], asked["tools"]) == ({"type": "function", "name": "ping"}, [WIRE_LOOK, WIRE_PING])


@pytest.mark.parametrize("row", ROWS)
def test_a_schema_holds_the_answer_where_the_server_reads_it(row: str) -> None:
    output = OutputSpec(SCHEMA, "place", description="Where.")
    asked = written(LLMRequest.of("Hi", output=output), row)
    form = {"name": "place", "schema": SCHEMA, "strict": True, "description": "Where."}
    if row in ("llamacpp", "local"):
        assert asked["response_format"] == {"type": "json_schema", "json_schema": form}
        assert "text" not in asked
    else:
        assert asked["text"] == {"format": {"type": "json_schema", **form}}


@pytest.mark.parametrize("row", ROWS)
def test_json_mode_is_a_word_or_an_open_schema(row: str) -> None:
    asked = written(LLMRequest.of("Hi", output=OutputSpec()), row)
    if row in ("llamacpp", "local"):
        assert asked["response_format"] == {"type": "json_object"}
    elif row in ("vllm", "lm_studio"):
        schema = {"type": "object", "additionalProperties": True}
        assert asked["text"] == {"format": {"type": "json_schema", "name": "output", "schema": schema}}
    else:
        assert asked["text"] == {"format": {"type": "json_object"}}


def test_a_loose_schema_goes_as_it_is_and_a_strict_one_in_the_vendors_subset() -> None:
    loose: Mapping[str, JSON] = {"type": "object", "properties": {"n": {"type": "integer", "default": 1}}}
    free = written(LLMRequest.of("Hi", output=OutputSpec(loose, strict=False)))
    assert free["text"] == {"format": {"type": "json_schema", "name": "output", "schema": loose}}
    narrow = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "additionalProperties": False,
        "required": ["n"],
    }
    strict = written(LLMRequest.of("Hi", output=OutputSpec(loose)))
    assert strict["text"] == {"format": {"type": "json_schema", "name": "output", "schema": narrow, "strict": True}}
    tool = written(LLMRequest.of("Hi", tools=[Tool("t", parameters=loose, strict=True)]))
    assert tool["tools"] == [{"type": "function", "name": "t", "parameters": narrow, "strict": True}]


def test_a_schema_that_the_strict_mode_cannot_hold_is_refused_by_its_keyword() -> None:
    schema: Mapping[str, JSON] = {"type": "object", "properties": {"n": {"not": {"type": "null"}}}, "required": ["n"]}
    with pytest.raises(CapabilityError, match="not"):
        written(LLMRequest.of("Hi", output=OutputSpec(schema)))
    assert "text" in written(LLMRequest.of("Hi", output=OutputSpec(schema)), "vllm")


def test_vendor_fields_stand_beside_ours_and_never_push_them_out() -> None:
    extra: Mapping[str, JSON] = {
        "reasoning": {"summary": "auto"},
        "include": ["message.output_text.logprobs", *ENCRYPTED],
        "text": {"verbosity": "low"},
        "tools": [{"type": "web_search"}],
        "truncation": "auto",
        "parallel_tool_calls": False,
    }
    request = LLMRequest.of("Hi", tools=[PING], output=OutputSpec(), parameters=Parameters(reasoning_effort="high"))
    asked = written(replace(request, extra=extra))
    assert asked["reasoning"] == {"effort": "high", "summary": "auto"}
    assert asked["include"] == [*ENCRYPTED, "message.output_text.logprobs"]
    assert asked["text"] == {"format": {"type": "json_object"}, "verbosity": "low"}
    assert asked["tools"] == [WIRE_PING, {"type": "web_search"}]
    assert (asked["truncation"], asked["parallel_tool_calls"]) == ("auto", False)


def test_the_requests_own_vendor_fields_go_before_those_of_the_configuration() -> None:
    config = LLMConfig(
        type="openai", model="m", dialect=NAME, extra={"reasoning": {"summary": "auto", "effort": "low"}, "user": "a"}
    )
    asked = written(replace(LLMRequest.of("Hi"), extra={"reasoning": {"effort": "high"}, "user": "b"}), config=config)
    assert (asked["reasoning"], asked["user"]) == ({"summary": "auto", "effort": "high"}, "b")
    odd = written(replace(LLMRequest.of("Hi", tools=[PING]), extra={"tools": "odd"}))
    assert odd["tools"] == "odd"


@pytest.mark.parametrize("field", ["input", "model", "stream"])
def test_fields_that_are_loomwires_own_cannot_be_set(field: str) -> None:
    with pytest.raises(LLMValidationError, match=f"extra cannot set {field}"):
        written(replace(LLMRequest.of("Hi"), extra={field: "x"}))


def test_a_vendor_that_does_not_speak_it_is_refused() -> None:
    config = LLMConfig(type="mistral", model="m", dialect=NAME)
    with pytest.raises(ConfigError, match="type mistral does not speak openai_responses"):
        speech(config, PROVIDERS["mistral"], DIALECTS)


def test_quirks_may_be_overridden_in_the_configuration() -> None:
    options: Mapping[str, JSON] = {"quirks": {"plain_models": ["o"], "system_role": "developer"}}
    config = LLMConfig(type="openai", model="o4", dialect=NAME, options=options)
    asked = written(LLMRequest.of("Hi", system="Be brief."), config=config)
    assert "include" not in asked
    assert asked["input"] == [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


PLACES: Mapping[str, tuple[str, str]] = {
    "azure_openai": ("https://mine.openai.azure.com", "https://mine.openai.azure.com/openai/v1/responses"),
    "vllm": ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1/responses"),
    "lm_studio": ("http://127.0.0.1:1234/", "http://127.0.0.1:1234/v1/responses"),
    "llamacpp": ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1/responses"),
    "openai": ("", "https://api.openai.com/v1/responses"),
    "xai": ("", "https://api.x.ai/v1/responses"),
}


@pytest.mark.parametrize("row", PLACES)
def test_it_is_asked_where_the_vendor_serves_it(row: str) -> None:
    given, asked = PLACES[row]
    config = LLMConfig(
        type=row, model="m", dialect=NAME, base_url=given or None, keys=(Secret("k"),), allow_private=True
    )
    placed = ClientFactory(DeferredPool(), SystemClock()).resolved(config)
    assert f"{placed.base_url}{OpenAIResponses().path(placed, stream=True)}" == asked
