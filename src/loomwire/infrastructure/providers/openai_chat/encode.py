"""Writes requests of the chat dialect: one pass over the messages, plain dicts, no models."""

from __future__ import annotations

import hashlib
import re
from binascii import b2a_base64
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, LLMValidationError
from loomwire.domain.messages import Image, Message, Part, Reasoning, Text, ToolResult
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.tools import Tool, ToolNamed
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.infrastructure.providers.openai_chat.reasoning import reasoning_back

Body: TypeAlias = dict[str, object]

RESERVED = frozenset({"messages", "model", "stream"})
_SHORT_ID = re.compile(r"[a-zA-Z0-9]{9}")
_NO_PARAMETERS: Mapping[str, JSON] = {"type": "object", "properties": {}}
_ANY_OBJECT: Mapping[str, JSON] = {"type": "object", "additionalProperties": True}
_SAME_NAME = ("temperature", "top_p", "presence_penalty", "frequency_penalty")


def encode_chat(request: LLMRequest, config: LLMConfig, quirks: ChatQuirks, *, stream: bool) -> bytes:
    """Return the body of a request.

    Raises:
        CapabilityError: The vendor cannot express what the request asks for.
        LLMValidationError: A value is no JSON, or `extra` sets one of `RESERVED`.
    """
    body: Body = {"model": config.model, "messages": _messages(request.messages, quirks)}
    if request.tools:
        _add_tools(body, request, quirks)
    if request.output is not None:
        body["response_format"] = _response_format(request.output, config, quirks)
    _add_parameters(body, request.parameters, config, quirks)
    if stream:
        body["stream"] = True
        if quirks.stream_usage:
            body["stream_options"] = {"include_usage": True}
    for extra in (config.extra, request.extra):
        if extra:
            _add_extra(body, extra)
    try:
        return msgspec.json.encode(body, enc_hook=_plain)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise _not_json(error) from None


def _messages(messages: Iterable[Message], quirks: ChatQuirks) -> list[Body]:
    wire: list[Body] = []
    for message in messages:
        role = message.role
        if role == "tool":
            wire += [_result(part, quirks) for part in message.parts if isinstance(part, ToolResult)]
            continue
        if role == "assistant":
            entry = _assistant(message, quirks)
        else:
            entry = {
                "role": quirks.system_role if role == "system" else role,
                "content": _content(message.parts, quirks),
            }
        if message.name is not None and quirks.speaker_names:
            entry["name"] = message.name
        wire.append(entry)
    return wire


def _content(parts: Sequence[Part], quirks: ChatQuirks) -> object:
    first = parts[0]
    if len(parts) == 1 and isinstance(first, Text):
        return first.text
    if not quirks.content_parts:
        if any(isinstance(part, Image) for part in parts):
            raise CapabilityError("the provider takes no pictures")
        return "".join(part.text for part in parts if isinstance(part, Text))
    return [
        {"type": "text", "text": part.text} if isinstance(part, Text) else _image(part, quirks)
        for part in parts
        if isinstance(part, Text | Image)
    ]


def _image(image: Image, quirks: ChatQuirks) -> Body:
    url = image.url
    if image.data is not None:
        url = f"data:{image.media_type};base64,{b2a_base64(image.data, newline=False).decode()}"
    form: Body = {"url": url}
    if image.detail != "auto" and quirks.image_detail:
        form["detail"] = image.detail
    return {"type": "image_url", "image_url": form}


def _assistant(message: Message, quirks: ChatQuirks) -> Body:
    parts = message.parts
    first = parts[0]
    if len(parts) == 1 and isinstance(first, Text):
        return {"role": "assistant", "content": first.text}
    # Text that is "" and not null beside tool calls: every vendor's own recordings accept it (TRAPS 32).
    entry: Body = {"role": "assistant", "content": message.text}
    calls = [_call(part, quirks) for part in parts if isinstance(part, ToolCall)]
    if calls:
        entry["tool_calls"] = calls
    thoughts = [part for part in parts if isinstance(part, Reasoning)]
    if thoughts:
        _add_thoughts(entry, thoughts, message.text, quirks)
    return entry


def _add_thoughts(entry: Body, thoughts: Sequence[Reasoning], text: str, quirks: ChatQuirks) -> None:
    field, value = reasoning_back(thoughts, quirks)
    if field == "content" and isinstance(value, list):
        said: list[JSON] = [{"type": "text", "text": text}] if text else []
        entry["content"] = value + said
    elif field:
        entry[field] = value


def _call(call: ToolCall, quirks: ChatQuirks) -> Body:
    arguments = call.raw_arguments if call.arguments is None else _json_text(call.arguments)
    entry: Body = {
        "id": _call_id(call.id, quirks),
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }
    if quirks.call_extras and call.signature is not None and call.signature.startswith("{"):
        entry["extra_content"] = msgspec.Raw(call.signature.encode())
    return entry


def _result(result: ToolResult, quirks: ChatQuirks) -> Body:
    content = result.content if isinstance(result.content, str) else _json_text(result.content)
    entry: Body = {"role": "tool", "tool_call_id": _call_id(result.call_id, quirks), "content": content}
    if quirks.tool_names and result.name:
        entry["name"] = result.name
    return entry


def _call_id(id: str, quirks: ChatQuirks) -> str:
    if not quirks.short_call_ids or _SHORT_ID.fullmatch(id):
        return id
    # Mistral refuses the ids of other vendors, whose calls are in the history after a fallback.
    return hashlib.sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:9]


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
    function: Body = {"name": tool.name, "parameters": tool.parameters or _NO_PARAMETERS}
    if tool.description:
        function["description"] = tool.description
    if tool.strict and quirks.strict_tools:
        function["strict"] = True
    return function


def _response_format(output: OutputSpec, config: LLMConfig, quirks: ChatQuirks) -> Body:
    schema = output.schema
    if schema is None:
        if quirks.json_object:
            return {"type": "json_object"}
        return {"type": "json_schema", "json_schema": {"name": output.name, "schema": _ANY_OBJECT}}
    if not quirks.json_schema:
        raise CapabilityError(
            f"{config.target} cannot be held to a JSON Schema",
            hint="Ask for any JSON object and describe its fields in the prompt, or use another model.",
        )
    form: Body = {"name": output.name, "schema": schema, "strict": output.strict}
    if output.description:
        form["description"] = output.description
    return {"type": "json_schema", "json_schema": form}


def _add_parameters(body: Body, asked: Parameters, config: LLMConfig, quirks: ChatQuirks) -> None:
    if asked is not config.parameters:
        asked = asked.over(config.parameters)
    for name in _SAME_NAME:
        value: float | None = getattr(asked, name)
        if value is not None:
            body[name] = value
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


def _add_extra(body: Body, extra: Mapping[str, JSON]) -> None:
    taken = sorted(RESERVED & extra.keys())
    if taken:
        raise LLMValidationError(
            f"extra cannot set {', '.join(taken)}: loomwire writes these fields itself",
            hint="Remove them from `extra`; they follow from the request, the configuration and the method called.",
        )
    body.update(extra)


def _json_text(value: JSON) -> str:
    try:
        return msgspec.json.encode(value, enc_hook=_plain).decode()
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise _not_json(error) from None


def _plain(value: object) -> object:
    """Turn mappings and sequences of other makes into what the encoder knows."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"a value of type {type(value).__name__} is no JSON")


def _not_json(error: Exception) -> LLMValidationError:
    why = str(error) if isinstance(error, TypeError) else type(error).__name__
    if isinstance(error, UnicodeEncodeError):
        why = "a text holds half a surrogate pair"
    return LLMValidationError(f"the request cannot be written as JSON: {why}", hint="Correct that value.")
