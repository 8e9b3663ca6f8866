"""Bodies and chunks of Gemini's generateContent, as the loopback server says them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.offline.reply import Reply, arguments_text, first_characters, pieces
from loomwire.infrastructure.providers.wire.json_bytes import parse_arguments
from loomwire.testing.speakers.telling import NUMBER

_FINISHES: Final = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "content_filter": "SAFETY",
    "error": "MALFORMED_FUNCTION_CALL",
}


def whole_body(reply: Reply, model: str, usage: Usage) -> bytes:
    """Return the body of a plain answer."""
    calls = [_call(call, "" if number else reply.signature) for number, call in enumerate(reply.tool_calls)]
    parts: list[JSON] = []
    if reply.reasoning:
        parts.append({"text": reply.reasoning, "thought": True})
    if reply.text or not calls:
        parts.append(_text(reply.text, "" if calls else reply.signature))
    return _chunk(model, [*parts, *calls], _finish(reply), _told(usage))


def stream_chunks(reply: Reply, model: str, usage: Usage) -> Iterator[bytes]:
    """Yield the chunks of a stream as JSON; a cut reply has no end.

    Every chunk tells the usage so far, and the end comes with an empty text, which holds the signature unless a call
    does.
    """
    said = reply if reply.cut_after is None else _cut(reply, reply.cut_after)
    so_far = _told(Usage(usage.input_tokens, 0)) if usage.known else None
    for part in _deltas(said, reply.signature):
        yield _chunk(model, [part], None, so_far)
    if reply.cut_after is None:
        end = _text("", "" if reply.tool_calls else reply.signature)
        yield _chunk(model, [end], _finish(reply), _told(usage))


def _cut(reply: Reply, count: int) -> Reply:
    said = first_characters(reply, count)
    pairs = zip(said.tool_calls, reply.tool_calls, strict=False)
    # A call is said whole or not at all.
    return replace(said, tool_calls=tuple(call for call, own in pairs if call.raw_arguments == arguments_text(own)))


def _deltas(reply: Reply, signature: str) -> Iterator[JSON]:
    for thought in pieces(reply.reasoning):
        yield {"text": thought, "thought": True}
    yield from (_text(piece, "") for piece in pieces(reply.text))
    for number, call in enumerate(reply.tool_calls):
        yield _call(call, "" if number else signature)


def _text(text: str, signature: str) -> JSON:
    return {"text": text, "thoughtSignature": signature} if signature else {"text": text}


def _call(call: ToolCall, signature: str) -> JSON:
    arguments: JSON = parse_arguments(call.raw_arguments) if call.arguments is None else call.arguments
    # No real server says arguments that are no object; tests want to see what happens.
    function: dict[str, JSON] = {"name": call.name, "args": call.raw_arguments if arguments is None else arguments}
    if call.id:
        function["id"] = call.id
    return {"functionCall": function, "thoughtSignature": signature} if signature else {"functionCall": function}


def _finish(reply: Reply) -> str:
    return _FINISHES.get(reply.finish or "stop", "OTHER")


def _told(usage: Usage) -> JSON:
    if not usage.known:
        return None
    told: dict[str, JSON] = {"promptTokenCount": usage.input_tokens}
    if usage.output_tokens > usage.reasoning_tokens:
        told["candidatesTokenCount"] = usage.output_tokens - usage.reasoning_tokens
    told["totalTokenCount"] = usage.input_tokens + usage.output_tokens
    if usage.cache_read_tokens:
        told["cachedContentTokenCount"] = usage.cache_read_tokens
    told["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": usage.input_tokens}]
    if usage.reasoning_tokens:
        told["thoughtsTokenCount"] = usage.reasoning_tokens
    return told


def _chunk(model: str, parts: list[JSON], finish: str | None, usage: JSON) -> bytes:
    candidate: dict[str, JSON] = {"content": {"parts": parts, "role": "model"}}
    if finish is not None:
        candidate["finishReason"] = finish
    candidate["index"] = 0
    fields: dict[str, JSON] = {"candidates": [candidate]}
    if usage is not None:
        fields["usageMetadata"] = usage
    fields["modelVersion"] = model
    return f'{json.dumps(fields, default=dict)[:-1]}, "responseId": "resp-{NUMBER}"}}'.encode()
