"""Writes the messages of Cohere's chat v2."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from loomwire.domain.messages import Image, Message, Part, Reasoning, Text, ToolResult
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.cohere.quirks import CohereQuirks
from loomwire.infrastructure.providers.wire.calls.inputs import arguments_text, result_text
from loomwire.infrastructure.providers.wire.request_body import Body, picture_url

ORIGIN = "cohere"
"""What `Reasoning.origin` says of what came over this dialect."""


def wire_messages(messages: Iterable[Message], quirks: CohereQuirks) -> list[Body]:
    """Return messages in the form of the wire; a message with several tool results becomes several.

    Cohere takes system messages anywhere and several messages of one role in a row. It knows no speakers' names, and
    no failed tool but by what the result says.

    Raises:
        LLMValidationError: A tool's arguments or result are no JSON.
    """
    wire: list[Body] = []
    for message in messages:
        if message.role == "tool":
            wire += [_result(part) for part in message.parts if isinstance(part, ToolResult)]
        elif message.role == "assistant":
            wire.append(_assistant(message))
        else:
            wire.append({"role": message.role, "content": _content(message.parts, quirks)})
    return wire


def _content(parts: Sequence[Part], quirks: CohereQuirks) -> object:
    first = parts[0]
    if len(parts) == 1 and isinstance(first, Text):
        return first.text
    return [
        {"type": "text", "text": part.text} if isinstance(part, Text) else _image(part, quirks)
        for part in parts
        if isinstance(part, Text | Image)
    ]


def _image(image: Image, quirks: CohereQuirks) -> Body:
    form: Body = {"url": picture_url(image)}
    if image.detail != "auto" and quirks.image_detail:
        form["detail"] = image.detail
    return {"type": "image_url", "image_url": form}


def _assistant(message: Message) -> Body:
    # Models that do not think refuse thinking, so only what came from here goes back.
    own = [part for part in message.parts if isinstance(part, Reasoning) and part.origin == ORIGIN]
    beside = _beside(message, own)
    content = _spoken(message.text, own)
    if beside and not content:
        # Beside calls an empty text is left out, as in Cohere's own answers (TRAPS 33).
        return {"role": "assistant", **beside}
    return {"role": "assistant", "content": content, **beside}


def _beside(message: Message, own: Iterable[Reasoning]) -> Body:
    beside: Body = {}
    plans = (part.wire.get("tool_plan") for part in own if part.wire is not None)
    plan = "".join(plan for plan in plans if isinstance(plan, str))
    if plan:
        beside["tool_plan"] = plan
    calls = [_call(part) for part in message.parts if isinstance(part, ToolCall)]
    if calls:
        beside["tool_calls"] = calls
    return beside


def _spoken(text: str, own: Iterable[Reasoning]) -> JSON:
    thinking: list[JSON] = [{"type": "thinking", "thinking": part.text} for part in own if part.text]
    if not thinking:
        return text
    return [*thinking, {"type": "text", "text": text}] if text else thinking


def _call(call: ToolCall) -> Body:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments_text(call)}}


def _result(result: ToolResult) -> Body:
    return {"role": "tool", "tool_call_id": result.call_id, "content": result_text(result.content)}
