"""Writes requests of the messages dialect: one pass over the messages, plain dicts, no models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from loomwire.domain.config import LLMConfig
from loomwire.domain.requests import LLMRequest, Parameters, ReasoningEffort
from loomwire.domain.tools import Tool, ToolNamed
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.anthropic.conversation import wire_conversation
from loomwire.infrastructure.providers.anthropic.families import knows_format, thinks_by_budget
from loomwire.infrastructure.providers.anthropic.output import add_output
from loomwire.infrastructure.providers.anthropic.quirks import AnthropicQuirks, Thinking
from loomwire.infrastructure.providers.anthropic.thinking import check_sampling, thinking_budget
from loomwire.infrastructure.providers.schemas.claude import expressible
from loomwire.infrastructure.providers.wire.request_body import (
    NO_PARAMETERS,
    Body,
    add_extra,
    checked_temperature,
    encoded,
)

RESERVED = frozenset({"messages", "model", "stream", "system"})
_CHOICES: Mapping[str, str] = {"none": "none", "required": "any"}


def encode_messages(request: LLMRequest, config: LLMConfig, quirks: AnthropicQuirks, *, stream: bool) -> bytes:
    """Return the body of a request.

    Raises:
        CapabilityError: The vendor cannot express what the request asks for.
        LLMValidationError: A value is no JSON, or `extra` sets one of `RESERVED`.
    """
    system, turns = wire_conversation(request.messages, quirks)
    body: Body = {"model": config.model, "messages": turns}
    if system is not None:
        body["system"] = system
    if request.tools:
        _add_tools(body, request, config, quirks)
    _add_parameters(body, request.parameters, config, quirks)
    if request.output is not None:
        add_output(body, request, config, quirks)
    if quirks.thinking == "by_model":
        _drop_thinking(body)
        _check_thinking(body, config)
    if stream:
        body["stream"] = True
    if config.extra or request.extra:
        _add_extra(body, (config.extra, request.extra))
    return encoded(body)


def _add_tools(body: Body, request: LLMRequest, config: LLMConfig, quirks: AnthropicQuirks) -> None:
    choice, tools = request.tool_choice, request.tools
    if isinstance(choice, ToolNamed):
        body["tool_choice"] = {"type": "tool", "name": choice.name}
        if not quirks.named_tool:
            tools = tuple(tool for tool in tools if tool.name == choice.name)
            body["tool_choice"] = {"type": "any"}
    elif choice != "auto":
        body["tool_choice"] = {"type": _CHOICES[choice]}
    may_be_strict = quirks.strict_tools and knows_format(config.model)
    body["tools"] = [_tool(tool, may_be_strict=may_be_strict) for tool in tools]


def _tool(tool: Tool, *, may_be_strict: bool) -> Body:
    # Strictly only what the vendor's subset of JSON Schema can say; it refuses the rest.
    closed = expressible(tool.parameters or NO_PARAMETERS) if tool.strict and may_be_strict else None
    written: Body = {"name": tool.name, "input_schema": closed or tool.parameters or NO_PARAMETERS}
    if tool.description:
        written["description"] = tool.description
    if closed:
        written["strict"] = True
    return written


def _add_parameters(body: Body, asked: Parameters, config: LLMConfig, quirks: AnthropicQuirks) -> None:
    if asked is not config.parameters:
        asked = asked.over(config.parameters)
    limit = asked.max_tokens or config.capabilities.max_tokens
    body["max_tokens"] = limit or quirks.max_tokens
    if asked.temperature is not None:
        body["temperature"] = checked_temperature(asked.temperature, quirks.hottest, config)
    if asked.top_p is not None:
        body["top_p"] = asked.top_p
    if asked.stop:
        body["stop_sequences"] = asked.stop
    if asked.reasoning_effort is not None:
        _add_thinking(body, asked.reasoning_effort, limit, config, quirks)


def _add_thinking(
    body: Body, effort: ReasoningEffort, limit: int | None, config: LLMConfig, quirks: AnthropicQuirks
) -> None:
    form = _form(quirks.thinking, config.model)
    if form == "no":
        return
    if effort == "none":
        body["thinking"] = {"type": "disabled"}
        return
    if form == "adaptive":
        body["thinking"] = {"type": "adaptive"}
    else:
        budget = thinking_budget(effort, limit, config)
        if limit is None:
            body["max_tokens"] = quirks.max_tokens + budget
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    if form != "budget":
        body["output_config"] = {"effort": "low" if effort == "minimal" else effort}


def _drop_thinking(body: Body) -> None:
    # Claude answers 400 to thinking beside a call that it must make; the call is what the answer is made of.
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice["type"] in ("any", "tool"):
        body.pop("thinking", None)


def _check_thinking(body: Body, config: LLMConfig) -> None:
    thinking = body.get("thinking")
    if isinstance(thinking, dict) and thinking["type"] != "disabled":
        check_sampling(body.get("temperature"), body.get("top_p"), config)


def _form(form: Thinking, model: str) -> Thinking:
    if form != "by_model":
        return form
    return "budget" if thinks_by_budget(model) else "adaptive"


def _add_extra(body: Body, extras: Sequence[Mapping[str, JSON]]) -> None:
    tools, output = body.get("tools"), body.get("output_config")
    add_extra(body, extras, RESERVED)
    added, config = body.get("tools"), body.get("output_config")
    # The vendor's server tools stand beside the caller's, and effort beside the format: none may push the other out.
    if isinstance(tools, list) and isinstance(added, Sequence) and added is not tools:
        body["tools"] = [*tools, *added]
    if isinstance(output, dict) and isinstance(config, Mapping) and config is not output:
        body["output_config"] = {**output, **config}
