"""Bodies and events of OpenAI chat completions, as the loopback server says them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.offline.reply import Reply, arguments_text, pieces
from loomwire.testing.speakers.telling import NUMBER, before_cut, finish_of

_SAFE: Final[JSON] = {
    name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")
}
PROMPT_FILTERED: Final = (
    b"data: %b\n\n"
    % json.dumps(
        {
            "choices": [],
            "created": 0,
            "id": "",
            "model": "",
            "object": "",
            "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": _SAFE}],
        }
    ).encode()
)
"""Azure's first event, which names neither the answer nor the model."""


def deployment(path: str) -> str:
    """Return the deployment that a path of Azure names, or "" when the body names the model."""
    _, found, rest = path.partition("/deployments/")
    return unquote(rest.partition("/")[0]) if found else ""


def whole_body(reply: Reply, model: str, usage: Usage) -> bytes:
    """Return the body of a plain answer."""
    message: dict[str, JSON] = {"role": "assistant", "content": reply.text or None}
    if reply.signature:
        message["reasoning"] = reply.reasoning
        message["reasoning_details"] = [_detail({"text": reply.reasoning, "signature": reply.signature})]
    elif reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    if reply.tool_calls:
        message["tool_calls"] = [
            {"id": _call_id(call, index), "type": "function", "function": _function(call.name, arguments_text(call))}
            for index, call in enumerate(reply.tool_calls)
        ]
    choice: JSON = {"index": 0, "message": message, "finish_reason": finish_of(reply)}
    return _object("chat.completion", model, {"choices": [choice], "usage": _wire_usage(usage)})


def stream_events(reply: Reply, model: str, usage: Usage | None) -> Iterator[bytes]:
    """Yield the server-sent events of a stream; without `usage` none tells it, and a cut reply has no end."""
    said = before_cut(reply)
    for delta in _deltas(said):
        yield _event(model, {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    if reply.cut_after is not None:
        return
    yield _event(model, {"choices": [{"index": 0, "delta": {}, "finish_reason": finish_of(reply)}]})
    if usage is not None:
        yield _event(model, {"choices": [], "usage": _wire_usage(usage)})
    yield b"data: [DONE]\n\n"


def _deltas(reply: Reply) -> Iterator[JSON]:
    yield {"role": "assistant", "content": ""}
    yield from (_thought(piece, signed=bool(reply.signature)) for piece in pieces(reply.reasoning))
    if reply.signature:
        yield {"reasoning_details": [_detail({"signature": reply.signature})]}
    yield from ({"content": piece} for piece in pieces(reply.text))
    for index, call in enumerate(reply.tool_calls):
        start = {"id": _call_id(call, index), "type": "function", "function": _function(call.name, "")}
        yield {"tool_calls": [{"index": index, **start}]}
        for piece in pieces(arguments_text(call)):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _thought(piece: str, *, signed: bool) -> JSON:
    if signed:
        return {"reasoning": piece, "reasoning_details": [_detail({"text": piece})]}
    return {"reasoning_content": piece}


def _detail(said: dict[str, JSON]) -> JSON:
    return {"type": "reasoning.text", **said, "format": "anthropic-claude-v1", "index": 0}


def _function(name: str, arguments: str) -> JSON:
    return {"name": name, "arguments": arguments}


def _call_id(call: ToolCall, index: int) -> str:
    return call.id or f"call_{index}"


def _wire_usage(usage: Usage) -> JSON:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _event(model: str, fields: dict[str, JSON]) -> bytes:
    return b"data: %b\n\n" % _object("chat.completion.chunk", model, fields)


def _object(kind: str, model: str, fields: dict[str, JSON]) -> bytes:
    rest = json.dumps({"object": kind, "created": 1_700_000_000, "model": model, **fields}, default=dict)
    return f'{{"id": "chatcmpl-{NUMBER}", {rest[1:]}'.encode()
