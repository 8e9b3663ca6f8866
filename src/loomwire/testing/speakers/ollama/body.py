"""Bodies and lines of Ollama's chat, as the loopback server says them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final

from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.offline.reply import Reply, arguments_text, pieces
from loomwire.testing.speakers.telling import before_cut, given

_CREATED: Final = "2026-01-01T00:00:00Z"
# Ollama says stop where the model wants its tools run (TRAPS 19).
_FINISHES: Final[Mapping[str, str]] = {"tool_calls": "stop"}


def whole_body(reply: Reply, model: str, usage: Usage) -> bytes:
    """Return the body of a plain answer."""
    message: dict[str, JSON] = {"role": "assistant", "content": reply.text}
    if reply.reasoning:
        message["thinking"] = reply.reasoning
    if reply.tool_calls:
        message["tool_calls"] = [_call(call, index) for index, call in enumerate(reply.tool_calls)]
    return _line(model, message, _end(reply, usage)).rstrip(b"\n")


def stream_lines(reply: Reply, model: str, usage: Usage) -> Iterator[bytes]:
    """Yield the lines of a stream; a cut reply has no end."""
    cut = reply.cut_after
    said = before_cut(reply)
    for piece in pieces(said.reasoning):
        yield _line(model, {"role": "assistant", "content": "", "thinking": piece})
    for piece in pieces(said.text):
        yield _line(model, {"role": "assistant", "content": piece})
    for index, call in enumerate(reply.tool_calls[: len(said.tool_calls)]):
        # A call comes whole or not at all.
        if cut is None or arguments_text(said.tool_calls[index]) == arguments_text(call):
            yield _line(model, {"role": "assistant", "content": "", "tool_calls": [_call(call, index)]})
    if cut is None:
        yield _line(model, {"role": "assistant", "content": ""}, _end(reply, usage))


def error_line(error: str) -> bytes:
    """Return the line that reports an error in a stream."""
    return json.dumps({"error": error}, separators=(",", ":")).encode() + b"\n"


def _call(call: ToolCall, index: int) -> JSON:
    function: JSON = {"index": index, "name": call.name, "arguments": given(call)}
    return {"id": call.id or f"call_{index:08d}", "function": function}


def _end(reply: Reply, usage: Usage) -> dict[str, JSON]:
    finish = reply.finish or "stop"
    return {
        "done_reason": _FINISHES.get(finish, finish),
        "done": True,
        "total_duration": 2_000_000,
        "load_duration": 1_000_000,
        "prompt_eval_count": usage.input_tokens,
        "prompt_eval_duration": 500_000,
        "eval_count": usage.output_tokens,
        "eval_duration": 500_000,
    }


def _line(model: str, message: Mapping[str, JSON], end: Mapping[str, JSON] | None = None) -> bytes:
    rest: Mapping[str, JSON] = {"done": False} if end is None else end
    line: dict[str, JSON] = {"model": model, "created_at": _CREATED, "message": message, **rest}
    return json.dumps(line, separators=(",", ":"), default=dict).encode() + b"\n"
