"""Writes the messages of the chat dialect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from loomwire.domain.errors import CapabilityError
from loomwire.domain.messages import Image, Message, Part, Reasoning, Text, ToolResult
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.infrastructure.providers.openai_chat.reasoning import reasoning_back
from loomwire.infrastructure.providers.wire.calls.ids import fitting_id
from loomwire.infrastructure.providers.wire.calls.inputs import arguments_text, result_text
from loomwire.infrastructure.providers.wire.request_body import Body, picture_url

MOST_CACHE_POINTS = 4
"""Anthropic takes no more in one request; the last ones cover what the first ones do."""

_SHORT_ID = re.compile(r"[a-zA-Z0-9]{9}")
# Cohere's ids begin with the tool's name, and those of OpenAI's own Responses may have 64 (agno#5382).
_LIMITED_ID = re.compile(r".{1,40}", re.DOTALL)


def wire_messages(messages: Iterable[Message], quirks: ChatQuirks) -> list[Body]:
    """Return messages in the form of the wire; a message with several tool results becomes several.

    Raises:
        CapabilityError: The vendor takes no pictures, and there is one.
        LLMValidationError: A tool's arguments or result are no JSON.
    """
    wire: list[Body] = []
    marked: list[Body] = []
    for message in messages:
        if message.role == "tool":
            wire += _results(message, quirks)
        else:
            wire.append(_spoken(message, quirks))
        if message.cache_point and quirks.cache_points:
            marked.append(wire[-1])
    for entry in marked[-MOST_CACHE_POINTS:]:
        _mark_end(entry)
    return wire


def _spoken(message: Message, quirks: ChatQuirks) -> Body:
    role = message.role
    if role == "assistant":
        entry = _assistant(message, quirks)
    else:
        entry = {"role": quirks.system_role if role == "system" else role, "content": _content(message.parts, quirks)}
    if message.name is not None and quirks.speaker_names:
        entry["name"] = message.name
    return entry


def _results(message: Message, quirks: ChatQuirks) -> list[Body]:
    return [_result(part, quirks) for part in message.parts if isinstance(part, ToolResult)]


def _mark_end(entry: Body) -> None:
    content = entry["content"]
    parts: list[Body] = [{"type": "text", "text": content}] if isinstance(content, str) and content else []
    if isinstance(content, list):
        parts = content
    # A message of tool calls alone has nowhere to say it; the point is a hint.
    if parts:
        entry["content"] = [*parts[:-1], {**parts[-1], "cache_control": {"type": "ephemeral"}}]


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
    form: Body = {"url": picture_url(image)}
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
    entry: Body = {
        "id": _call_id(call.id, quirks),
        "type": "function",
        "function": {"name": call.name, "arguments": arguments_text(call)},
    }
    if quirks.call_extras and call.signature is not None and call.signature.startswith("{"):
        entry["extra_content"] = msgspec.Raw(call.signature.encode())
    return entry


def _result(result: ToolResult, quirks: ChatQuirks) -> Body:
    entry: Body = {
        "role": "tool",
        "tool_call_id": _call_id(result.call_id, quirks),
        "content": result_text(result.content),
    }
    if quirks.tool_names and result.name:
        entry["name"] = result.name
    return entry


def _call_id(id: str, quirks: ChatQuirks) -> str:
    if quirks.short_call_ids:
        return fitting_id(id, _SHORT_ID, digits=9)
    return fitting_id(id, _LIMITED_ID, "call_") if quirks.limited_call_ids else id
