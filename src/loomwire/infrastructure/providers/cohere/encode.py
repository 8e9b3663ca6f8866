"""Writes requests of Cohere's chat v2: one pass over the messages, plain dicts, no models."""

from __future__ import annotations

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.tools import ToolNamed
from loomwire.infrastructure.providers.cohere.conversation import wire_messages
from loomwire.infrastructure.providers.cohere.quirks import CohereQuirks
from loomwire.infrastructure.providers.cohere.schema import cohere_schema
from loomwire.infrastructure.providers.wire.request_body import Body, add_extra, add_numbers, encoded, function_of

RESERVED = frozenset({"messages", "model", "stream"})
_NAMES = (
    ("temperature", "temperature"),
    ("top_p", "p"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
    ("max_tokens", "max_tokens"),
    ("seed", "seed"),
)


def encode_chat(request: LLMRequest, config: LLMConfig, quirks: CohereQuirks, *, stream: bool) -> bytes:
    """Return the body of a request.

    Raises:
        CapabilityError: Cohere cannot express what the request asks for.
        LLMValidationError: A value is no JSON, or `extra` sets one of `RESERVED`.
    """
    body: Body = {"model": config.model, "messages": wire_messages(request.messages, quirks)}
    if request.tools:
        _add_tools(body, request)
    if request.output is not None:
        body["response_format"] = _response_format(request, request.output, config, quirks)
    _add_parameters(body, request.parameters, config, quirks)
    if stream:
        body["stream"] = True
    add_extra(body, (config.extra, request.extra), RESERVED)
    return encoded(body)


def _add_tools(body: Body, request: LLMRequest) -> None:
    choice, tools = request.tool_choice, request.tools
    if isinstance(choice, ToolNamed):
        # No tool can be forced by name, so that one is the only one it may call.
        tools = tuple(tool for tool in tools if tool.name == choice.name)
    body["tools"] = [{"type": "function", "function": function_of(tool)} for tool in tools]
    if choice != "auto":
        body["tool_choice"] = "NONE" if choice == "none" else "REQUIRED"
    # Strictness is said once for all tools, and refused for one that demands no parameter.
    if all(tool.strict and tool.parameters.get("required") for tool in tools):
        body["strict_tools"] = True


def _response_format(request: LLMRequest, output: OutputSpec, config: LLMConfig, quirks: CohereQuirks) -> Body:
    if request.tools:
        raise CapabilityError(
            f"{config.target} takes no output format beside tools",
            hint="Leave out one of the two, or describe the JSON in the prompt.",
        )
    form: Body = {"type": "json_object"}
    if output.schema is not None:
        form[quirks.schema] = cohere_schema(output.schema, strict=output.strict)
    return form


def _add_parameters(body: Body, asked: Parameters, config: LLMConfig, quirks: CohereQuirks) -> None:
    if asked is not config.parameters:
        asked = asked.over(config.parameters)
    add_numbers(body, asked, _NAMES)
    if asked.reasoning_effort is not None and quirks.thinking:
        # There are no degrees but a budget of tokens, which `extra` can give.
        body["thinking"] = {"type": "disabled" if asked.reasoning_effort == "none" else "enabled"}
    if asked.stop:
        if len(asked.stop) > quirks.stop_limit:
            raise CapabilityError(f"{config.target} takes at most {quirks.stop_limit} stop texts")
        body["stop_sequences"] = asked.stop
