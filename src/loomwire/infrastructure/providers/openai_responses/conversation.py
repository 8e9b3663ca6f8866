"""Writes the conversation of the Responses dialect: a flat list of items, in the order in which they were said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from loomwire.domain.messages import Image, Message, Part, Reasoning, Text, ToolResult
from loomwire.domain.values import JSONObject, ToolCall
from loomwire.infrastructure.providers.openai_responses.kept import goes_back, said_in, wire_of
from loomwire.infrastructure.providers.openai_responses.quirks import ResponsesQuirks
from loomwire.infrastructure.providers.wire.calls.ids import fitting_id
from loomwire.infrastructure.providers.wire.calls.inputs import arguments_text, result_text
from loomwire.infrastructure.providers.wire.request_body import Body, picture_url

_CALL_ID = re.compile(r".{1,64}", re.DOTALL)


def wire_input(messages: Iterable[Message], quirks: ResponsesQuirks, *, thinks: bool) -> list[Body]:
    """Return messages as items; a message with several parts becomes several.

    Args:
        messages: The conversation.
        quirks: How the vendor differs.
        thinks: The model takes back what another turn of it has thought.

    Raises:
        LLMValidationError: A tool's arguments or result are no JSON.
    """
    items: list[Body] = []
    custom: set[str] = set()
    for message in messages:
        role, parts = message.role, message.parts
        if role == "assistant":
            if any(isinstance(part, Reasoning) for part in parts):
                _Spoken(message, quirks, items, custom).write(thinks=thinks)
            else:
                _write_plain(parts, quirks, items)
        elif role == "tool":
            items += [_result(part, custom) for part in parts if isinstance(part, ToolResult)]
        else:
            items.append(
                {
                    "role": quirks.system_role if role == "system" else role,
                    "content": _content(parts, quirks),
                }
            )
    return items


class _Spoken:
    """Writes one message of the assistant. What the wire must see again in its own form takes the place of our parts.

    Args:
        message: What was said.
        quirks: How the vendor differs.
        items: Where it is written.
        custom: Ids of calls of custom tools so far; their results have a form of their own.
    """

    __slots__ = ("_calls", "_covers", "_custom", "_items", "_message", "_quirks")

    def __init__(self, message: Message, quirks: ResponsesQuirks, items: list[Body], custom: set[str]) -> None:
        """Write nothing yet."""
        self._message = message
        self._quirks = quirks
        self._items = items
        self._custom = custom
        self._calls = {part.id: part for part in message.parts if isinstance(part, ToolCall)}
        wires = [wire_of(part) for part in message.parts if isinstance(part, Reasoning)]
        kept = [said_in(wire) for wire in wires if wire is not None and wire.get("type") == "message"]
        # What a caller has changed since is sent as it is now.
        self._covers = bool(kept) and "".join(kept) == message.text

    def write(self, *, thinks: bool) -> None:
        """Write all parts."""
        for part in self._message.parts:
            if isinstance(part, Reasoning):
                wire = wire_of(part)
                if wire is not None:
                    self._write_kept(wire, thinks=thinks)
            elif isinstance(part, Text):
                if part.text and not self._covers:
                    self._items.append(_said(part.text, self._quirks))
            elif isinstance(part, ToolCall) and self._calls.pop(part.id, None) is not None:
                self._items.append(_call(part))

    def _write_kept(self, wire: JSONObject, *, thinks: bool) -> None:
        kind = wire.get("type")
        if kind in ("function_call", "custom_tool_call"):
            call = self._calls.pop(str(wire.get("call_id")), None)
            if call is None:
                return
            if kind == "custom_tool_call":
                self._custom.add(call.id)
            self._items.append(_call(call) if kind == "function_call" else dict(wire))
        elif kind == "message":
            self._items += [dict(wire)] if self._covers else []
        elif goes_back(wire, self._quirks, thinks=thinks):
            self._items.append(dict(wire))


def _write_plain(parts: Sequence[Part], quirks: ResponsesQuirks, items: list[Body]) -> None:
    for part in parts:
        if isinstance(part, ToolCall):
            items.append(_call(part))
        elif isinstance(part, Text) and part.text:
            items.append(_said(part.text, quirks))


def _said(text: str, quirks: ResponsesQuirks) -> Body:
    if quirks.said_in_parts:
        return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    return {"role": "assistant", "content": text}


def _content(parts: Sequence[Part], quirks: ResponsesQuirks) -> object:
    first = parts[0]
    if len(parts) == 1 and isinstance(first, Text):
        return first.text
    return [
        {"type": "input_text", "text": part.text} if isinstance(part, Text) else _image(part, quirks)
        for part in parts
        if isinstance(part, Text | Image)
    ]


def _image(image: Image, quirks: ResponsesQuirks) -> Body:
    form: Body = {"type": "input_image", "image_url": picture_url(image)}
    if quirks.image_detail:
        form["detail"] = image.detail  # vLLM requires the field
    return form


def _call(call: ToolCall) -> Body:
    return {"type": "function_call", "call_id": _id(call.id), "name": call.name, "arguments": arguments_text(call)}


def _result(result: ToolResult, custom: set[str]) -> Body:
    kind = "custom_tool_call_output" if result.call_id in custom else "function_call_output"
    return {"type": kind, "call_id": _id(result.call_id), "output": result_text(result.content)}


def _id(id: str) -> str:
    return fitting_id(id, _CALL_ID, "call_")
