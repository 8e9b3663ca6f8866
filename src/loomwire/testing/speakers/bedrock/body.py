"""Bodies and messages of Converse and ConverseStream, as the loopback server says them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final

from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.offline.reply import Reply, arguments_text, pieces
from loomwire.testing.speakers.bedrock.frames import event
from loomwire.testing.speakers.telling import before_cut, finish_of, given

_PADDING: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_FINISHES: Final[Mapping[str, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "guardrail_intervened",
    "error": "malformed_model_output",
}


def whole_body(reply: Reply, usage: Usage) -> bytes:
    """Return the body of a plain answer."""
    content: list[JSON] = []
    if reply.reasoning or reply.signature:
        content.append({"reasoningContent": {"reasoningText": _thought(reply)}})
    if reply.text:
        content.append({"text": reply.text})
    for index, call in enumerate(reply.tool_calls):
        content.append({"toolUse": {"input": given(call), **_named(call, index)}})
    message: JSON = {"content": content, "role": "assistant"}
    return _text(
        {
            "metrics": {"latencyMs": 500},
            "output": {"message": message},
            "stopReason": _finish(reply),
            "usage": _wire_usage(usage),
        }
    )


def stream_events(reply: Reply, usage: Usage) -> Iterator[bytes]:
    """Yield the messages of a stream; a cut reply has no end."""
    said = before_cut(reply)
    yield _event("messageStart", {"role": "assistant"})
    index = 0
    for deltas in (_thinking_deltas(said), _text_deltas(said)):
        began = False
        for delta in deltas:
            began = True
            yield _event("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})
        if began:
            yield _event("contentBlockStop", {"contentBlockIndex": index})
            index += 1
    for number, call in enumerate(said.tool_calls):
        yield _event("contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": _named(call, number)}})
        for piece in pieces(arguments_text(call)):
            yield _event("contentBlockDelta", {"contentBlockIndex": index, "delta": {"toolUse": {"input": piece}}})
        yield _event("contentBlockStop", {"contentBlockIndex": index})
        index += 1
    if reply.cut_after is None:
        yield _event("messageStop", {"stopReason": _finish(reply)})
        yield _event("metadata", {"metrics": {"latencyMs": 500}, "usage": _wire_usage(usage)})


def _thinking_deltas(said: Reply) -> Iterator[JSON]:
    for piece in pieces(said.reasoning):
        yield {"reasoningContent": {"text": piece}}
    if said.signature:
        yield {"reasoningContent": {"signature": said.signature}}


def _text_deltas(said: Reply) -> Iterator[JSON]:
    for piece in pieces(said.text):
        yield {"text": piece}


def _thought(reply: Reply) -> JSON:
    return {"signature": reply.signature, "text": reply.reasoning} if reply.signature else {"text": reply.reasoning}


def _named(call: ToolCall, index: int) -> dict[str, JSON]:
    return {"name": call.name, "toolUseId": call.id or f"tooluse_{index:022d}"}


def _finish(reply: Reply) -> str:
    finish = finish_of(reply)
    return _FINISHES.get(finish, finish)


def _wire_usage(usage: Usage) -> JSON:
    read, written = usage.cache_read_tokens, usage.cache_write_tokens
    return {
        "cacheReadInputTokens": read,
        "cacheWriteInputTokens": written,
        "inputTokens": usage.input_tokens - read - written,
        "outputTokens": usage.output_tokens,
        "serverToolUsage": {},
        "totalTokens": usage.input_tokens + usage.output_tokens,
    }


def _event(kind: str, said: dict[str, JSON]) -> bytes:
    # Padded against those who watch lengths, by what the text's own length gives (TRAPS.md 12).
    size = len(_text(said)) * 7 % len(_PADDING)
    return event(kind, _text({**said, "p": _PADDING[: size + 1]}))


def _text(value: JSON) -> bytes:
    return json.dumps(value, separators=(",", ":"), default=dict).encode()
