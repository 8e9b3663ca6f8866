"""Writes the messages of Converse: instructions apart, turns merged so that they alternate, thinking as it came."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from loomwire.domain.errors import CapabilityError, LLMValidationError
from loomwire.domain.messages import Image, Message, Part, Reasoning, Text, ToolResult
from loomwire.domain.values import ToolCall
from loomwire.infrastructure.providers.bedrock.layout import LAYOUT
from loomwire.infrastructure.providers.wire.calls.ids import fitting_id
from loomwire.infrastructure.providers.wire.calls.inputs import input_object, result_text
from loomwire.infrastructure.providers.wire.request_body import Body, base64_text

_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_DATA_URL = re.compile(r"data:image/(png|jpeg|gif|webp);base64,", re.IGNORECASE)
_CACHE_POINT = {"cachePoint": {"type": "default"}}


def wire_conversation(
    messages: Sequence[Message], *, most_points: int, thinking_back: bool
) -> tuple[list[Body], list[Body]]:
    """Return the instructions as blocks, and what was said, in turns of the user and the assistant.

    Instructions in mid-conversation join those at the beginning. Names of speakers are not known here.

    Args:
        messages: The conversation.
        most_points: How many cache points are taken; 0 for none, and then there are none.
        thinking_back: The model takes its thinking back.

    Raises:
        CapabilityError: There are more cache points than the service takes, or a picture is not at hand.
        LLMValidationError: A tool's result is no JSON, or a data URL is not in base64.
    """
    system: list[Body] = []
    turns: list[Body] = []
    for message in messages:
        blocks = _blocks(message, thinking_back=thinking_back)
        if message.cache_point and most_points and blocks:
            blocks.append(dict(_CACHE_POINT))
        if message.role == "system":
            system += blocks
        else:
            _say(turns, "assistant" if message.role == "assistant" else "user", blocks)
    if most_points and sum(message.cache_point for message in messages) > most_points:
        raise CapabilityError(
            f"the provider takes at most {most_points} cache points",
            hint="Keep cache_point on the last messages of the parts that stay the same.",
        )
    return system, turns


def _say(turns: list[Body], side: str, blocks: list[Body]) -> None:
    last = turns[-1]["content"] if turns and turns[-1]["role"] == side else None
    if isinstance(last, list):
        # Results of parallel calls must stand in one message, and turns must alternate.
        last += blocks
    elif blocks or side == "user":
        turns.append({"role": side, "content": blocks})


def _blocks(message: Message, *, thinking_back: bool) -> list[Body]:
    parts = message.parts
    first = parts[0]
    # A text alone is the commonest content, and is in no order.
    if len(parts) == 1 and isinstance(first, Text) and first.text:
        return [{"text": first.text}]
    if message.role == "assistant":
        return _assistant(message, thinking_back=thinking_back)
    return [block for part in parts if (block := _block(part))]


def _assistant(message: Message, *, thinking_back: bool) -> list[Body]:
    own = [part for part in message.parts if isinstance(part, Reasoning)] if thinking_back else []
    thoughts = [block for part in own for block in _thought(part)]
    return LAYOUT.arranged(message, thoughts, [_call(part) for part in message.parts if isinstance(part, ToolCall)])


def _block(part: Part) -> Body | None:
    if isinstance(part, Text):
        # The service refuses empty texts, and they say nothing.
        return {"text": part.text} if part.text else None
    if isinstance(part, Image):
        return {"image": _image(part)}
    return _result(part) if isinstance(part, ToolResult) else None


def _image(image: Image) -> Body:
    if image.data is not None:
        return {"format": image.media_type.partition("/")[2], "source": {"bytes": base64_text(image.data)}}
    url = image.url or ""
    if not url.startswith("data:"):
        raise CapabilityError(
            "Bedrock takes pictures as bytes, not by their address",
            hint="Load the picture and give its bytes as data=.",
        )
    found = _DATA_URL.match(url)
    if found is None:
        raise LLMValidationError(
            "an image's data URL must be in base64 and of a type that Bedrock knows",
            hint="Give the picture's bytes as data=.",
        )
    return {"format": found[1].lower(), "source": {"bytes": url[found.end() :]}}


def _result(result: ToolResult) -> Body:
    written: Body = {"toolUseId": wire_id(result.call_id), "content": [{"text": result_text(result.content)}]}
    if result.is_error:
        written["status"] = "error"
    return {"toolResult": written}


def _thought(part: Reasoning) -> Iterator[Body]:
    if not LAYOUT.is_thought(part):
        return
    if part.wire is not None:
        yield dict(part.wire)
    elif part.redacted is not None:
        yield {"reasoningContent": {"redactedContent": part.redacted}}
    else:
        text: Body = {"text": part.text}
        if part.signature is not None:
            text["signature"] = part.signature
        yield {"reasoningContent": {"reasoningText": text}}


def _call(call: ToolCall) -> Body:
    arguments = input_object(call.arguments, call.raw_arguments)
    return {"toolUse": {"toolUseId": wire_id(call.id), "name": call.name, "input": arguments}}


def wire_id(id: str) -> str:
    """Return a call's id as the service takes it; those of other vendors, after a fallback, are replaced alike."""
    return fitting_id(id, _ID, "tooluse_")
