"""Bodies and events of Cohere's chat v2, as the loopback server says them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final

from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.offline.reply import Reply, arguments_text, pieces
from loomwire.testing.speakers.telling import NUMBER, before_cut, finish_of

ID: Final = f"00000000-0000-4000-8000-{NUMBER}"
"""The id of an answer; its last part is the request's number."""

_ESCAPED: Final = json.dumps(ID)[1:-1]
_FINISHES: Final[Mapping[str, str]] = {
    "stop": "COMPLETE",
    "length": "MAX_TOKENS",
    "tool_calls": "TOOL_CALL",
    "content_filter": "ERROR_TOXIC",
    "error": "ERROR",
}


def whole_body(reply: Reply, usage: Usage) -> bytes:
    """Return the body of a plain answer."""
    message: dict[str, JSON] = {"role": "assistant"}
    content: list[JSON] = []
    if reply.reasoning:
        content.append({"type": "thinking", "thinking": reply.reasoning})
    if reply.text or not reply.tool_calls:
        content.append({"type": "text", "text": reply.text})
    if content:
        message["content"] = content
    if reply.tool_calls:
        message["tool_calls"] = [
            _call(call, index, arguments_text(call)) for index, call in enumerate(reply.tool_calls)
        ]
    return _text({"id": ID, "message": message, "finish_reason": _finish(reply), "usage": _wire_usage(usage)})


def stream_events(reply: Reply, usage: Usage) -> Iterator[bytes]:
    """Yield the server-sent events of a stream; a cut reply has no end."""
    said = before_cut(reply)
    opening: JSON = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    yield _event("message-start", {"message": opening}, id=ID)
    yield from _content_events(said)
    for index, call in enumerate(said.tool_calls):
        yield _event("tool-call-start", {"message": {"tool_calls": _call(call, index, "")}}, index=index)
        for piece in pieces(arguments_text(call)):
            fragment: JSON = {"tool_calls": {"function": {"arguments": piece}}}
            yield _event("tool-call-delta", {"message": fragment}, index=index)
        yield _event("tool-call-end", None, index=index)
    if reply.cut_after is not None:
        return
    yield _event("message-end", {"finish_reason": _finish(reply), "usage": _wire_usage(usage)})
    yield b"data: [DONE]\n\n"


def failed_event(error: str, kind: str | None) -> bytes:
    """Return the end of a stream that failed, as Cohere words it."""
    failed: dict[str, JSON] = {"finish_reason": "ERROR", "usage": {}, "error": error}
    return _event("message-end", failed if kind is None else {**failed, "error_type": kind})


def _content_events(said: Reply) -> Iterator[bytes]:
    index = 0
    for kind, text in (("thinking", said.reasoning), ("text", said.text)):
        if not text:
            continue
        yield _event("content-start", {"message": {"content": {"type": kind, kind: ""}}}, index=index)
        for piece in pieces(text):
            yield _event("content-delta", {"message": {"content": {kind: piece}}}, index=index)
        yield _event("content-end", None, index=index)
        index += 1


def _call(call: ToolCall, index: int, arguments: str) -> JSON:
    function: JSON = {"name": call.name, "arguments": arguments}
    return {"id": call.id or f"{call.name}_{index:012d}", "type": "function", "function": function}


def _finish(reply: Reply) -> str:
    finish = finish_of(reply)
    return _FINISHES.get(finish, finish.upper())


def _wire_usage(usage: Usage) -> JSON:
    billed: dict[str, JSON] = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    tokens = {**billed, "reasoning_tokens": usage.reasoning_tokens} if usage.reasoning_tokens else billed
    return {"billed_units": billed, "tokens": tokens, "cached_tokens": usage.cache_read_tokens}


def _event(kind: str, delta: JSON, *, index: int | None = None, id: str | None = None) -> bytes:
    first: dict[str, JSON] = {"type": kind} if id is None else {"id": id, "type": kind}
    place: dict[str, JSON] = {} if index is None else {"index": index}
    said: dict[str, JSON] = {} if delta is None else {"delta": delta}
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _text({**first, **place, **said}))


def _text(value: JSON) -> bytes:
    text = json.dumps(value, separators=(",", ":"), default=dict)
    if text.startswith('{"id":'):
        # JSON escapes the mark; only in the id does it become what is numbered.
        text = text.replace(_ESCAPED, ID, 1)
    return text.encode()
