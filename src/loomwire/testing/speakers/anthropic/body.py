"""Bodies and events of Anthropic messages, as the loopback server says them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.offline.reply import Reply, arguments_text, pieces
from loomwire.testing.speakers.telling import NUMBER, before_cut, finish_of, given

_FINISHES: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "pause": "pause_turn",
}


_Event: TypeAlias = tuple[str, dict[str, JSON]]


def whole_body(reply: Reply, model: str, usage: Usage) -> bytes:
    """Return the body of a plain answer."""
    content: list[JSON] = []
    if reply.reasoning or reply.signature:
        content.append({"type": "thinking", "thinking": reply.reasoning, "signature": reply.signature})
    if reply.text:
        content.append({"type": "text", "text": reply.text})
    content += [_call(call, index, given(call)) for index, call in enumerate(reply.tool_calls)]
    return _message(model, content, _finish(reply), _wire_usage(usage, usage.output_tokens))


def stream_events(reply: Reply, model: str, usage: Usage) -> Iterator[bytes]:
    """Yield the server-sent events of a stream; a cut reply has no end."""
    said = before_cut(reply)
    message = _message(model, [], None, _wire_usage(usage, 1 if usage.output_tokens else 0))
    yield b'event: message_start\ndata: {"type": "message_start", "message": %b}\n\n' % message
    yield _framed("ping", {})
    for index, events in enumerate(_blocks(said)):
        for kind, fields in events:
            yield _framed(kind, {"index": index, **fields})
        if reply.cut_after is None:
            yield _framed("content_block_stop", {"index": index})
    if reply.cut_after is not None:
        return
    end = {"delta": {"stop_reason": _finish(reply), "stop_sequence": None, "stop_details": None}}
    yield _framed("message_delta", {**end, "usage": _wire_usage(usage, usage.output_tokens)})
    yield _framed("message_stop", {})


def _blocks(reply: Reply) -> Iterator[Sequence[_Event]]:
    if reply.reasoning or reply.signature:
        thoughts = _deltas("thinking_delta", "thinking", reply.reasoning)
        proof = [_delta("signature_delta", "signature", reply.signature)] if reply.signature else []
        yield [_start({"type": "thinking", "thinking": "", "signature": ""}), *thoughts, *proof]
    if reply.text:
        yield [_start({"type": "text", "text": ""}), *_deltas("text_delta", "text", reply.text)]
    for index, call in enumerate(reply.tool_calls):
        # The first piece of an input is empty (TRAPS 31).
        fragments = _deltas("input_json_delta", "partial_json", arguments_text(call))
        yield [_start(_call(call, index, {})), _delta("input_json_delta", "partial_json", ""), *fragments]


def _start(block: JSON) -> _Event:
    return "content_block_start", {"content_block": block}


def _deltas(kind: str, key: str, text: str) -> Iterator[_Event]:
    return (_delta(kind, key, piece) for piece in pieces(text))


def _delta(kind: str, key: str, piece: str) -> _Event:
    return "content_block_delta", {"delta": {"type": kind, key: piece}}


def _call(call: ToolCall, index: int, given: JSON) -> dict[str, JSON]:
    return {"type": "tool_use", "id": call.id or f"toolu_{index}", "name": call.name, "input": given}


def _finish(reply: Reply) -> str:
    finish = finish_of(reply)
    return _FINISHES.get(finish, finish)


def _wire_usage(usage: Usage, output_tokens: int) -> JSON:
    told: dict[str, JSON] = {
        "input_tokens": usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": output_tokens,
    }
    if usage.reasoning_tokens and output_tokens == usage.output_tokens:
        told["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return told


def _message(model: str, content: list[JSON], finish: str | None, usage: JSON) -> bytes:
    said: dict[str, JSON] = {
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": finish,
        "stop_sequence": None,
        "stop_details": None,
        "usage": usage,
    }
    return f'{{"id": "msg_{NUMBER}", {json.dumps(said, default=dict)[1:]}'.encode()


def _framed(kind: str, fields: dict[str, JSON]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields}, default=dict)}\n\n".encode()
