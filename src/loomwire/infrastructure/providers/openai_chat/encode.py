"""Writes requests of the chat dialect: one pass over the messages, plain dicts, no models."""

from __future__ import annotations

from collections.abc import Sequence

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.tools import Tool, ToolNamed
from loomwire.infrastructure.providers.openai_chat.conversation import wire_messages
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.infrastructure.providers.schemas.openai_strict import strict_schema
from loomwire.infrastructure.providers.wire.request_body import (
    ANY_OBJECT,
    Body,
    add_extra,
    add_numbers,
    encoded,
    function_of,
)

RESERVED = frozenset({"messages", "model", "stream"})
_NUMBERS = (
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
)


def encode_chat(request: LLMRequest, config: LLMConfig, quirks: ChatQuirks, *, stream: bool) -> bytes:
    """Return the body of a request.

    Raises:
        CapabilityError: The vendor cannot express what the request asks for.
        LLMValidationError: A value is no JSON, or `extra` sets one of `RESERVED`.
    """
    body: Body = {"model": config.model, "messages": wire_messages(request.messages, quirks)}
    if request.tools:
        _add_tools(body, request, quirks)
    if request.output is not None:
        body["response_format"] = _response_format(request.output, config, quirks)
    _add_parameters(body, request.parameters, config, quirks)
    if stream:
        body["stream"] = True
        if quirks.stream_usage:
            body["stream_options"] = {"include_usage": True}
    add_extra(body, (config.extra, request.extra), RESERVED)
    return encoded(body)


def _add_tools(body: Body, request: LLMRequest, quirks: ChatQuirks) -> None:
    choice, tools = request.tool_choice, request.tools
    word: object = quirks.required if choice == "required" else choice
    if isinstance(choice, ToolNamed):
        word = {"type": "function", "function": {"name": choice.name}}
        if not quirks.named_tool:
            tools = tuple(tool for tool in tools if tool.name == choice.name)
            word = quirks.required
    body["tools"] = [{"type": "function", "function": _function(tool, quirks)} for tool in tools]
    if choice != "auto":
        body["tool_choice"] = word


def _function(tool: Tool, quirks: ChatQuirks) -> Body:
    function = function_of(tool)
    if tool.strict and quirks.strict_tools:
        function["strict"] = True
        if quirks.strict_subset and tool.parameters:
            function["parameters"] = strict_schema(tool.parameters, f"tool {tool.name}")
    return function


def _response_format(output: OutputSpec, config: LLMConfig, quirks: ChatQuirks) -> Body:
    schema = output.schema
    if schema is None:
        if quirks.json_object:
            return {"type": "json_object"}
        return {"type": "json_schema", "json_schema": {"name": output.name, "schema": ANY_OBJECT}}
    if not quirks.json_schema:
        raise CapabilityError(
            f"{config.target} cannot be held to a JSON Schema",
            hint="Ask for any JSON object and describe its fields in the prompt, or use another model.",
        )
    form: Body = {"name": output.name, "schema": schema}
    if output.strict:
        form["strict"] = True
        if quirks.strict_subset:
            form["schema"] = strict_schema(schema, "output")
    if output.description:
        form["description"] = output.description
    return {"type": "json_schema", "json_schema": form}


def _add_parameters(body: Body, asked: Parameters, config: LLMConfig, quirks: ChatQuirks) -> None:
    if asked is not config.parameters:
        asked = asked.over(config.parameters)
    add_numbers(body, asked, _NUMBERS)
    if asked.max_tokens is not None:
        body[quirks.max_tokens] = asked.max_tokens
    if asked.seed is not None and quirks.seed is not None:
        body[quirks.seed] = asked.seed
    if asked.reasoning_effort is not None:
        _add_effort(body, asked.reasoning_effort, quirks)
    if asked.stop:
        body["stop"] = _stop(asked.stop, config, quirks)


def _stop(stop: Sequence[str], config: LLMConfig, quirks: ChatQuirks) -> Sequence[str]:
    if len(stop) > quirks.stop_limit:
        raise CapabilityError(f"{config.target} takes at most {quirks.stop_limit} stop texts")
    return stop


def _add_effort(body: Body, effort: str, quirks: ChatQuirks) -> None:
    if quirks.reasoning_effort == "reasoning_effort":
        body["reasoning_effort"] = effort
    elif quirks.reasoning_effort == "reasoning.effort":
        body["reasoning"] = {"effort": effort}
