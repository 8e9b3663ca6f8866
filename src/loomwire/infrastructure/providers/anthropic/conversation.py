"""Writes the messages of the messages dialect: instructions apart, turns merged, thinking as it came."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from loomwire.domain.errors import CapabilityError, LLMValidationError
from loomwire.domain.messages import Image, Message, Reasoning, Role, Text, ToolResult
from loomwire.domain.values import ToolCall
from loomwire.infrastructure.providers.anthropic.layout import LAYOUT
from loomwire.infrastructure.providers.anthropic.quirks import AnthropicQuirks
from loomwire.infrastructure.providers.wire.calls.ids import fitting_id
from loomwire.infrastructure.providers.wire.calls.inputs import input_object, result_text
from loomwire.infrastructure.providers.wire.request_body import Body, base64_text

_ID = re.compile(r"[a-zA-Z0-9_-]+")
_DATA_URL = re.compile(r"data:(image/[a-z0-9.+-]+);base64,", re.IGNORECASE)
_UNCACHED = frozenset({"thinking", "redacted_thinking"})
_Content: TypeAlias = str | list[Body]


def wire_conversation(messages: Sequence[Message], quirks: AnthropicQuirks) -> tuple[object, list[Body]]:
    """Return the instructions, a text or blocks or None, and what was said, in turns of the user and the assistant.

    Raises:
        CapabilityError: There are more cache points than the vendor takes.
        LLMValidationError: A tool's result is no JSON, or a data URL is not in base64.
    """
    writing = _Writing(inside=quirks.system_inside)
    points = 0
    for message in messages:
        content = _content(message, quirks)
        if message.cache_point and quirks.cache_points:
            points += 1
            content = _marked(content)
        writing.add(message.role, content)
    if points > quirks.most_cache_points:
        raise CapabilityError(
            f"the provider takes at most {quirks.most_cache_points} cache points",
            hint="Keep cache_point on the last messages of the parts that stay the same.",
        )
    return writing.instructions(), writing.turns


class _Writing:
    """A conversation that is being written."""

    __slots__ = ("_inside", "_side", "_system", "turns")

    def __init__(self, *, inside: bool) -> None:
        self._inside = inside
        self._system: list[_Content] = []
        self._side = ""
        self.turns: list[Body] = []

    def add(self, role: Role, content: _Content) -> None:
        """Write a message: into the instructions, the turn of its side, or a new turn."""
        if role == "system" and not (self._inside and self.turns):
            self._system.append(content)
            return
        side = "user" if role == "tool" else role
        if side == self._side:
            # Results of parallel calls must stand in one message, and some servers want turns to alternate.
            _extend(self.turns[-1], content)
        elif content or side == "user":
            self.turns.append({"role": side, "content": content})
            self._side = side

    def instructions(self) -> object:
        """Return the instructions: one text as it is, several as blocks, none as None."""
        if len(self._system) == 1:
            return self._system[0] or None
        return [block for content in self._system for block in _blocks(content)] or None


def _content(message: Message, quirks: AnthropicQuirks) -> _Content:
    parts = message.parts
    first = parts[0]
    # A text alone is the commonest content, and a shorthand of the wire.
    if len(parts) == 1 and isinstance(first, Text):
        return first.text
    if message.role == "assistant":
        return _assistant(message, quirks)
    return [block for part in parts if (block := _block(part))]


def _assistant(message: Message, quirks: AnthropicQuirks) -> _Content:
    thoughts = [block for part in message.parts if isinstance(part, Reasoning) for block in _thought(part, quirks)]
    calls = [_call(part) for part in message.parts if isinstance(part, ToolCall)]
    blocks = LAYOUT.arranged(message, thoughts, calls)
    return message.text if len(blocks) == 1 and blocks[0].keys() == {"type", "text"} else blocks


def _blocks(content: _Content) -> list[Body]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content


def _extend(turn: Body, content: _Content) -> None:
    known = turn["content"]
    blocks = known if isinstance(known, list) else _blocks(str(known))
    blocks += _blocks(content)
    turn["content"] = blocks


def _marked(content: _Content) -> _Content:
    blocks = _blocks(content)
    last = next((block for block in reversed(blocks) if block["type"] not in _UNCACHED), None)
    if last is not None:
        last["cache_control"] = {"type": "ephemeral"}
    return blocks


def _block(part: object) -> Body | None:
    if isinstance(part, Text):
        # The vendor refuses empty blocks, and they say nothing.
        return {"type": "text", "text": part.text} if part.text else None
    if isinstance(part, Image):
        return {"type": "image", "source": _source(part)}
    return _result(part) if isinstance(part, ToolResult) else None


def _source(image: Image) -> Body:
    if image.data is not None:
        return {"type": "base64", "media_type": image.media_type, "data": base64_text(image.data)}
    url = image.url or ""
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    found = _DATA_URL.match(url)
    if found is None:
        raise LLMValidationError("an image's data URL must be in base64", hint="Give the picture's bytes as data=.")
    return {"type": "base64", "media_type": found[1].lower(), "data": url[found.end() :]}


def _result(result: ToolResult) -> Body:
    content = result_text(result.content)
    block: Body = {"type": "tool_result", "tool_use_id": wire_id(result.call_id), "content": content}
    if result.is_error:
        block["is_error"] = True
    return block


def _thought(part: Reasoning, quirks: AnthropicQuirks) -> Iterator[Body]:
    if not LAYOUT.is_thought(part):
        return
    if part.wire is not None:
        yield dict(part.wire)
    elif part.redacted is not None:
        yield {"type": "redacted_thinking", "data": part.redacted}
    elif part.signature or not quirks.signed_thinking:
        yield {"type": "thinking", "thinking": part.text, "signature": part.signature or ""}


def _call(call: ToolCall) -> Body:
    arguments = input_object(call.arguments, call.raw_arguments)
    return {"type": "tool_use", "id": wire_id(call.id), "name": call.name, "input": arguments}


def wire_id(id: str) -> str:
    """Return a call's id as the vendor takes it; those of other vendors, after a fallback, are replaced alike."""
    return fitting_id(id, _ID, "toolu_")
