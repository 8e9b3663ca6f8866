"""Writes requests of Echo."""

from __future__ import annotations

from loomwire.dialects import (
    Body,
    CapabilityError,
    Image,
    LLMConfig,
    LLMRequest,
    Message,
    Parameters,
    Reasoning,
    Text,
    Tool,
    ToolCall,
    ToolNamed,
    ToolResult,
    add_extra,
    base64_text,
    encoded,
)
from loomwire_echo.quirks import EchoQuirks

DIALECT = "echo"
_WHO = {"system": "rules", "user": "human", "assistant": "machine", "tool": "tool"}
_OURS = frozenset({"engine", "turns", "tools", "choose", "flow"})


def encode(request: LLMRequest, config: LLMConfig, quirks: EchoQuirks, *, stream: bool) -> bytes:
    """Return the body of a request.

    Raises:
        CapabilityError: Echo cannot do it; silently leaving it out would give a wrong answer.
        LLMValidationError: A value is no JSON, or `extra` sets a field of ours.
    """
    if request.output is not None:
        raise CapabilityError(f"{config.target} cannot be held to JSON")
    body: Body = {"engine": config.model, "turns": [_turn(message, quirks) for message in request.messages]}
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        choice = request.tool_choice
        body["choose"] = {"tool": choice.name} if isinstance(choice, ToolNamed) else choice
    _add_parameters(body, request.parameters.over(config.parameters), quirks)
    if stream:
        body["flow"] = True
    add_extra(body, (config.extra, request.extra), _OURS)
    return encoded(body)


def _add_parameters(body: Body, asked: Parameters, quirks: EchoQuirks) -> None:
    if asked.temperature is not None:
        body["warmth"] = asked.temperature
    if asked.max_tokens is not None:
        body[quirks.most] = asked.max_tokens
    if asked.stop:
        body["until"] = asked.stop


def _tool(tool: Tool) -> Body:
    return {"tool": tool.name, "about": tool.description, "takes": tool.parameters or {"type": "object"}}


def _turn(message: Message, quirks: EchoQuirks) -> Body:
    parts = [written for part in message.parts if (written := _part(part, quirks)) is not None]
    return {"who": _WHO[message.role], "say": parts}


def _part(part: object, quirks: EchoQuirks) -> Body | None:
    match part:
        case Text(text):
            return {"text": text}
        case Image():
            return {"picture": part.url or f"data:{part.media_type};base64,{base64_text(part.data or b'')}"}
        case ToolCall():
            return {"call": {"key": part.id, "tool": part.name, "with": part.arguments or {}}}
        case ToolResult():
            return {"result": {"key": part.call_id, "value": part.content, "failed": part.is_error}}
        case Reasoning() if quirks.sealed and part.origin == DIALECT and part.signature:
            # What another vendor signed would be refused here.
            return {"thought": {"text": part.text, "seal": part.signature}}
        case _:
            return None
