"""Writes requests of Converse: one pass over the messages, plain dicts, no models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError
from loomwire.domain.messages import Message, ToolResult
from loomwire.domain.requests import LLMRequest, Parameters, ReasoningEffort
from loomwire.domain.tools import Tool, ToolNamed
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.anthropic.thinking import check_sampling, thinking_budget
from loomwire.infrastructure.providers.bedrock.conversation import wire_conversation
from loomwire.infrastructure.providers.bedrock.families import knows_format, takes_thinking_back, thinking_of
from loomwire.infrastructure.providers.bedrock.output import add_output
from loomwire.infrastructure.providers.bedrock.quirks import BedrockQuirks, Thinking
from loomwire.infrastructure.providers.schemas.claude import expressible
from loomwire.infrastructure.providers.wire.request_body import (
    NO_PARAMETERS,
    Body,
    add_extra,
    checked_temperature,
    encoded,
)

RESERVED = frozenset({"messages", "system"})
_NOVA_ON: Mapping[str, JSON] = {"type": "enabled"}
_NOVA_OFF: Mapping[str, JSON] = {"type": "disabled"}
# What a request and `extra` both may say something of.
_SHARED = ("additionalModelRequestFields", "inferenceConfig", "outputConfig", "toolConfig")


def encode_converse(request: LLMRequest, config: LLMConfig, quirks: BedrockQuirks) -> bytes:
    """Return the body of a request, which is the same for a stream.

    Raises:
        CapabilityError: The service cannot express what the request asks for.
        LLMValidationError: A value is no JSON, or `extra` sets one of `RESERVED`.
    """
    system, turns = wire_conversation(
        request.messages,
        most_points=quirks.most_cache_points if quirks.cache_points else 0,
        thinking_back=quirks.thinking_back and takes_thinking_back(config.model),
    )
    body: Body = {"messages": turns}
    if system:
        body["system"] = system
    if request.tools or request.output is not None:
        _add_tools(body, request, config, quirks)
    _add_parameters(body, request.parameters, config, quirks)
    if config.extra or request.extra:
        _add_extra(body, (config.extra, request.extra))
    return encoded(body)


def _add_tools(body: Body, request: LLMRequest, config: LLMConfig, quirks: BedrockQuirks) -> None:
    choice = request.tool_choice
    tools: list[Body] = []
    if choice == "none":
        _check_forgettable(request.messages, config)
    else:
        may_be_strict = quirks.strict_tools and knows_format(config.model)
        tools = [_tool(tool, may_be_strict=may_be_strict) for tool in request.tools]
    chosen = add_output(body, tools, request, config, quirks)
    if isinstance(choice, ToolNamed):
        chosen = {"tool": {"name": choice.name}}
    elif choice == "required":
        chosen = {"any": {}}
    if tools:
        body["toolConfig"] = {"tools": tools} if chosen is None else {"tools": tools, "toolChoice": chosen}


def _check_forgettable(messages: Sequence[Message], config: LLMConfig) -> None:
    # There is no word for "none", and without tools a conversation that used some is refused.
    if any(isinstance(part, ToolCall | ToolResult) for message in messages for part in message.parts):
        raise CapabilityError(
            f"{config.target} cannot be kept from calling tools in a conversation that has used some",
            hint='Leave tool_choice="none" out, or give the tools\' results as text.',
        )


def _tool(tool: Tool, *, may_be_strict: bool) -> Body:
    # Strictly only what the service's subset of JSON Schema can say; it refuses the rest.
    closed = expressible(tool.parameters or NO_PARAMETERS) if tool.strict and may_be_strict else None
    spec: Body = {"name": tool.name, "inputSchema": {"json": closed or tool.parameters or NO_PARAMETERS}}
    if tool.description:
        spec["description"] = tool.description
    if closed:
        spec["strict"] = True
    return {"toolSpec": spec}


def _add_parameters(body: Body, asked: Parameters, config: LLMConfig, quirks: BedrockQuirks) -> None:
    if asked is not config.parameters:
        asked = asked.over(config.parameters)
    inference: Body = {}
    if asked.max_tokens is not None:
        inference["maxTokens"] = asked.max_tokens
    if asked.temperature is not None:
        inference["temperature"] = checked_temperature(asked.temperature, quirks.hottest, config)
    if asked.top_p is not None:
        inference["topP"] = asked.top_p
    if asked.stop:
        inference["stopSequences"] = asked.stop
    if inference:
        body["inferenceConfig"] = inference
    if asked.reasoning_effort is not None:
        _add_thinking(body, asked.reasoning_effort, asked.max_tokens, config, quirks)


def _add_thinking(
    body: Body, effort: ReasoningEffort, limit: int | None, config: LLMConfig, quirks: BedrockQuirks
) -> None:
    form = thinking_of(config.model) if quirks.thinking == "by_model" else quirks.thinking
    fields: Body = {}
    if form == "effort" and effort != "none":
        # These models always think.
        fields = {"reasoning_effort": _degree(effort)}
    elif form == "nova":
        fields = {
            "reasoningConfig": _NOVA_OFF if effort == "none" else {**_NOVA_ON, "maxReasoningEffort": _degree(effort)}
        }
    elif form.startswith("claude"):
        fields = {"thinking": _claude_thinking(body, form, effort, limit, config)}
    if fields:
        body["additionalModelRequestFields"] = fields


def _claude_thinking(body: Body, form: Thinking, effort: ReasoningEffort, limit: int | None, config: LLMConfig) -> Body:
    if effort == "none":
        return {"type": "disabled"}
    sampling = body.get("inferenceConfig")
    if isinstance(sampling, dict):
        check_sampling(sampling.get("temperature"), sampling.get("topP"), config)
    if form == "claude_budget":
        return {"type": "enabled", "budget_tokens": thinking_budget(effort, limit, config)}
    known = body.get("outputConfig")
    body["outputConfig"] = {**(known if isinstance(known, dict) else {}), "effort": _degree(effort)}
    return {"type": "adaptive"}


def _degree(effort: ReasoningEffort) -> str:
    return "low" if effort == "minimal" else effort


def _add_extra(body: Body, extras: Sequence[Mapping[str, JSON]]) -> None:
    own = {field: body[field] for field in _SHARED if field in body}
    add_extra(body, extras, RESERVED)
    # A field of the model's own beside the effort, a system tool beside the caller's: none may push the other out.
    for field, ours in own.items():
        added = body[field]
        if added is not ours and isinstance(ours, dict) and isinstance(added, Mapping):
            body[field] = {**ours, **added}
            if field == "toolConfig" and isinstance(further := added.get("tools"), Sequence):
                body[field] = {**ours, **added, "tools": [*ours["tools"], *further]}
