"""Writes requests of the Responses dialect: one pass over the messages, plain dicts, no models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.tools import Tool, ToolNamed
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.openai_responses.conversation import wire_input
from loomwire.infrastructure.providers.openai_responses.quirks import ResponsesQuirks
from loomwire.infrastructure.providers.schemas.openai_strict import strict_schema
from loomwire.infrastructure.providers.wire.request_body import (
    ANY_OBJECT,
    NO_PARAMETERS,
    Body,
    add_extra,
    add_numbers,
    encoded,
)

RESERVED = frozenset({"input", "model", "stream"})
_ENCRYPTED = "reasoning.encrypted_content"
_NUMBERS = (("temperature", "temperature"), ("top_p", "top_p"), ("max_tokens", "max_output_tokens"))
_ALL_NUMBERS = (
    *_NUMBERS,
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
)
_SHARED = ("include", "reasoning", "text", "tools")


def encode_responses(request: LLMRequest, config: LLMConfig, quirks: ResponsesQuirks, *, stream: bool) -> bytes:
    """Return the body of a request.

    Raises:
        CapabilityError: The vendor cannot express what the request asks for.
        LLMValidationError: A value is no JSON, or `extra` sets one of `RESERVED`.
    """
    thinks = _thinks(config, quirks)
    body: Body = {"model": config.model, "input": wire_input(request.messages, quirks, thinks=thinks)}
    if quirks.store:
        body["store"] = False
    if thinks and quirks.encrypted_reasoning:
        body["include"] = [_ENCRYPTED]
    if request.tools:
        _add_tools(body, request, quirks)
    if request.output is not None:
        _add_output(body, request.output, quirks)
    _add_parameters(body, request.parameters, config, quirks)
    if stream:
        body["stream"] = True
    for extra in (config.extra, request.extra):
        if extra:
            add_extra(body, (_shared(body, extra),), RESERVED)
    return encoded(body)


def _thinks(config: LLMConfig, quirks: ResponsesQuirks) -> bool:
    return config.capabilities.supports_reasoning is not False and not config.model.startswith(quirks.plain_models)


def _shared(body: Body, extra: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """Return `extra` with what the body says under the same key: `reasoning.summary` stands beside our effort."""
    joined = {key: _joined(body[key], extra[key]) for key in _SHARED if key in extra and key in body}
    return {**extra, **joined} if joined else extra


def _joined(ours: object, theirs: JSON) -> JSON:
    if isinstance(ours, dict) and isinstance(theirs, Mapping):
        return {**ours, **theirs}
    if isinstance(ours, list) and isinstance(theirs, Sequence) and not isinstance(theirs, str):
        return [*ours, *(each for each in theirs if each not in ours)]
    return theirs


def _add_tools(body: Body, request: LLMRequest, quirks: ResponsesQuirks) -> None:
    choice, tools = request.tool_choice, request.tools
    word: object = choice
    if isinstance(choice, ToolNamed):
        word = {"type": "function", "name": choice.name}
        if not quirks.named_tool:
            tools = tuple(tool for tool in tools if tool.name == choice.name)
            word = "required"
    body["tools"] = [_function(tool, quirks) for tool in tools]
    if choice != "auto":
        body["tool_choice"] = word


def _function(tool: Tool, quirks: ResponsesQuirks) -> Body:
    function: Body = {"type": "function", "name": tool.name, "parameters": tool.parameters or NO_PARAMETERS}
    if tool.description:
        function["description"] = tool.description
    if quirks.strict_tools:
        # Without a word OpenAI is strict, and changes the schema for it (openai-...-tool-bad-args-010e1f).
        function["strict"] = tool.strict
        if tool.strict and quirks.strict_subset and tool.parameters:
            function["parameters"] = strict_schema(tool.parameters, f"tool {tool.name}")
    return function


def _add_output(body: Body, output: OutputSpec, quirks: ResponsesQuirks) -> None:
    form = _format(output, quirks)
    if quirks.output_field == "text":
        body["text"] = {"format": form}
    elif form["type"] == "json_object":
        body["response_format"] = form
    else:
        kind = form.pop("type")
        body["response_format"] = {"type": kind, "json_schema": form}


def _format(output: OutputSpec, quirks: ResponsesQuirks) -> Body:
    if output.schema is None:
        if quirks.json_object:
            return {"type": "json_object"}
        return {"type": "json_schema", "name": output.name, "schema": ANY_OBJECT}
    form: Body = {"type": "json_schema", "name": output.name, "schema": output.schema}
    if output.strict:
        form["strict"] = True
        if quirks.strict_subset:
            form["schema"] = strict_schema(output.schema, "output")
    if output.description:
        form["description"] = output.description
    return form


def _add_parameters(body: Body, asked: Parameters, config: LLMConfig, quirks: ResponsesQuirks) -> None:
    if asked is not config.parameters:
        asked = asked.over(config.parameters)
    add_numbers(body, asked, _ALL_NUMBERS if quirks.penalties else _NUMBERS)
    if asked.reasoning_effort is not None and quirks.reasoning_effort:
        body["reasoning"] = {"effort": asked.reasoning_effort}
    if asked.seed is not None and quirks.seed:
        body["seed"] = asked.seed
    if asked.stop:
        body["stop"] = _stop(asked.stop, config, quirks)


def _stop(stop: Sequence[str], config: LLMConfig, quirks: ResponsesQuirks) -> Sequence[str]:
    if len(stop) > quirks.stop_limit:
        most = f"at most {quirks.stop_limit}" if quirks.stop_limit else "no"
        raise CapabilityError(
            f"{config.target} takes {most} stop texts over the Responses API",
            hint="Leave `stop` out, or ask the model over another dialect.",
        )
    return stop
