"""Writes the messages of the chat dialect."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

import msgspec

from loomwire.domain.errors import CapabilityError
from loomwire.domain.messages import Image, Message, Part, Reasoning, Text, ToolResult
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.infrastructure.providers.openai_chat.reasoning import reasoning_back
from loomwire.infrastructure.providers.wire.request_body import Body, base64_text, encoded

_SHORT_ID = re.compile(r"[a-zA-Z0-9]{9}")


def wire_messages(messages: Iterable[Message], quirks: ChatQuirks) -> list[Body]:
    """Return messages in the form of the wire; a message with several tool results becomes several.

    Raises:
        CapabilityError: The vendor takes no pictures, and there is one.
        LLMValidationError: A tool's arguments or result are no JSON.
    """
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
        url = f"data:{image.media_type};base64,{base64_text(image.data)}"
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
    arguments = call.raw_arguments if call.arguments is None else encoded(call.arguments).decode()
    entry: Body = {
        "id": _call_id(call.id, quirks),
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }
    if quirks.call_extras and call.signature is not None and call.signature.startswith("{"):
        entry["extra_content"] = msgspec.Raw(call.signature.encode())
    return entry


def _result(result: ToolResult, quirks: ChatQuirks) -> Body:
    content = result.content if isinstance(result.content, str) else encoded(result.content).decode()
    entry: Body = {"role": "tool", "tool_call_id": _call_id(result.call_id, quirks), "content": content}
    if quirks.tool_names and result.name:
        entry["name"] = result.name
    return entry


def _call_id(id: str, quirks: ChatQuirks) -> str:
    if not quirks.short_call_ids or _SHORT_ID.fullmatch(id):
        return id
    # Mistral refuses the ids of other vendors, whose calls are in the history after a fallback.
    return hashlib.sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:9]
