"""Writes requests of Ollama's chat: one pass over the messages, plain dicts, no models."""

from __future__ import annotations

from collections.abc import Mapping

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, LLMValidationError
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.ollama.conversation import wire_messages
from loomwire.infrastructure.providers.ollama.quirks import OllamaQuirks
from loomwire.infrastructure.providers.ollama.schema import check_schema
from loomwire.infrastructure.providers.wire.request_body import Body, add_extra, add_numbers, encoded, function_of

RESERVED = frozenset({"messages", "model", "stream"})
_OPTIONS = (
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
    ("max_tokens", "num_predict"),
    ("seed", "seed"),
)
_LEVELS: Mapping[str, str] = {"minimal": "low", "low": "low", "medium": "medium", "high": "high"}


def encode_chat(request: LLMRequest, config: LLMConfig, quirks: OllamaQuirks, *, stream: bool) -> bytes:
    """Return the body of a request.

    Raises:
        CapabilityError: Ollama cannot express what the request asks for.
        LLMValidationError: A value is no JSON, `extra` sets one of `RESERVED`, or its `options` are no object.
    """
    body: Body = {"model": config.model, "messages": wire_messages(request.messages, quirks), "stream": stream}
    if request.tools:
        _add_tools(body, request, config)
    if request.output is not None:
        body["format"] = _format(request.output)
    extras = (config.extra, request.extra)
    asked = request.parameters
    if asked is not config.parameters:
        asked = asked.over(config.parameters)
    options = _options(asked, extras)
    if asked.reasoning_effort is not None:
        body["think"] = _think(asked.reasoning_effort, quirks)
    add_extra(body, extras, RESERVED)
    if options or "options" in body:
        body["options"] = options
    return encoded(body)


def _add_tools(body: Body, request: LLMRequest, config: LLMConfig) -> None:
    if request.tool_choice == "none":
        return  # what is not offered cannot be called
    if request.tool_choice != "auto":
        raise CapabilityError(
            f"{config.target} cannot be made to call a tool",
            hint="Use tool_choice 'auto', or another provider.",
        )
    body["tools"] = [{"type": "function", "function": function_of(tool)} for tool in request.tools]


def _format(output: OutputSpec) -> JSON:
    if output.schema is None:
        return "json"
    if output.strict:
        check_schema(output.schema)
    return output.schema


def _options(asked: Parameters, extras: tuple[Mapping[str, JSON], ...]) -> Body:
    options: Body = {}
    add_numbers(options, asked, _OPTIONS)
    if asked.stop:
        options["stop"] = asked.stop
    # `num_ctx` and the like come beside what the parameters say, not in place of it.
    for extra in extras:
        more = extra.get("options", {})
        if not isinstance(more, Mapping):
            raise LLMValidationError("extra.options must be an object", hint="Correct it, such as {num_ctx: 8192}.")
        options.update(more)
    return options


def _think(effort: str, quirks: OllamaQuirks) -> JSON:
    if effort == "none":
        return False
    return _LEVELS[effort] if quirks.think_levels else True
