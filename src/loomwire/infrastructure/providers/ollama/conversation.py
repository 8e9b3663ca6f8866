"""Writes the messages of Ollama's chat."""

from __future__ import annotations

from collections.abc import Iterable

from loomwire.domain.errors import CapabilityError
from loomwire.domain.messages import Image, Message, Part, Reasoning, ToolResult
from loomwire.domain.values import ToolCall
from loomwire.infrastructure.providers.ollama.quirks import OllamaQuirks
from loomwire.infrastructure.providers.wire.calls.inputs import result_text
from loomwire.infrastructure.providers.wire.request_body import Body, base64_text

_BASE64 = ";base64,"


def wire_messages(messages: Iterable[Message], quirks: OllamaQuirks) -> list[Body]:
    """Return messages in the form of the wire; a message with several tool results becomes several.

    Ollama takes system messages anywhere and several messages of one role in a row. Content is one text, with pictures
    beside it. It knows no speakers' names, and no failed tool but by what the result says.

    Raises:
        CapabilityError: A picture is an address, which Ollama does not fetch, or a call's arguments are no object.
        LLMValidationError: A tool's arguments or result are no JSON.
    """
    wire: list[Body] = []
    names: dict[str, str] = {}
    for message in messages:
        if message.role == "tool":
            wire += [_result(part, names, quirks) for part in message.parts if isinstance(part, ToolResult)]
        elif message.role == "assistant":
            wire.append(_assistant(message, quirks))
            names.update((part.id, part.name) for part in message.parts if isinstance(part, ToolCall))
        else:
            entry: Body = {"role": message.role, "content": message.text}
            images = _images(message.parts)
            if images:
                entry["images"] = images
            wire.append(entry)
    return wire


def _images(parts: Iterable[Part]) -> list[str]:
    return [_image(part) for part in parts if isinstance(part, Image)]


def _image(image: Image) -> str:
    if image.data is not None:
        return base64_text(image.data)
    head, mark, data = (image.url or "").partition(_BASE64)
    if not mark or not head.startswith("data:"):
        raise CapabilityError(
            "Ollama takes no address of a picture", hint="Give the picture's bytes, or a data URL in base64."
        )
    return data


def _assistant(message: Message, quirks: OllamaQuirks) -> Body:
    entry: Body = {"role": "assistant", "content": message.text}
    thought = "".join(part.text for part in message.parts if isinstance(part, Reasoning) and _is_plain(part))
    if thought:
        entry["thinking"] = thought
    calls = [_call(part, quirks) for part in message.parts if isinstance(part, ToolCall)]
    if calls:
        entry["tool_calls"] = calls
    return entry


def _is_plain(part: Reasoning) -> bool:
    # What is signed or opaque belongs to the vendor it came from.
    return part.signature is None and part.redacted is None and part.wire is None


def _call(call: ToolCall, quirks: OllamaQuirks) -> Body:
    if call.arguments is None:
        raise CapabilityError(
            f"Ollama takes no call whose arguments are no JSON object, as those of {call.name!r} in the history",
            hint="Leave out that message and its results, or give the call arguments={}.",
        )
    entry: Body = {"function": {"name": call.name, "arguments": call.arguments}}
    if quirks.call_ids:
        entry["id"] = call.id
    return entry


def _result(result: ToolResult, names: dict[str, str], quirks: OllamaQuirks) -> Body:
    entry: Body = {"role": "tool", "content": result_text(result.content)}
    name = result.name or names.get(result.call_id, "")
    if name:
        entry["tool_name"] = name
    if quirks.call_ids:
        entry["tool_call_id"] = result.call_id
    return entry
