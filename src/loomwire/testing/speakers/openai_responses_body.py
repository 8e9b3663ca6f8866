"""Bodies and events of the Responses API, as the loopback server says them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.offline.reply import Reply, arguments_text, pieces
from loomwire.testing.speakers.telling import NUMBER, before_cut

_ID: Final = secrets.token_hex(16)
"""Stands for `NUMBER` while JSON is written, which would escape it; nobody can say it by chance."""

_REASONS: Final[Mapping[str, str]] = {"length": "max_output_tokens", "pause": "pause", "other": "other"}
_TIME: Final = 1_700_000_000
_Event: TypeAlias = tuple[str, dict[str, JSON]]


@dataclass(frozen=True, slots=True)
class Told:
    """What a request decides of its answer.

    Attributes:
        model: The model's name.
        usage: Told unless it is not known.
        encrypted: The request asks for encrypted thinking.
    """

    model: str
    usage: Usage
    encrypted: bool


def whole_response(reply: Reply, told: Told) -> bytes:
    """Return the body of a plain answer."""
    return _written(_response(reply, told))


def response_events(reply: Reply, told: Told) -> Iterator[bytes]:
    """Yield the server-sent events of a stream; a cut reply has no end."""
    for number, (kind, fields) in enumerate(_events(reply, told)):
        yield framed(kind, {"type": kind, **fields, "sequence_number": number})


def framed(kind: str, data: Mapping[str, JSON]) -> bytes:
    """Return a server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _written(data))


def _events(reply: Reply, told: Told) -> Iterator[_Event]:
    begun = _response(reply, told, "in_progress")
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    ends = reply.cut_after is None
    said = before_cut(reply)
    output = _output(said, told)
    for place, item in enumerate(output):
        yield from _item_events(item, place, ended=ends or place + 1 < len(output))
    if ends:
        yield f"response.{_status(reply)}", {"response": _response(reply, told)}


def _item_events(item: Mapping[str, JSON], place: int, *, ended: bool) -> Iterator[_Event]:
    where: dict[str, JSON] = {"item_id": item["id"], "output_index": place}
    if item["type"] == "reasoning":
        yield "response.output_item.added", {"output_index": place, "item": {**item, "summary": []}}
        yield from _summary_events(item, where)
    elif item["type"] == "message":
        empty = {**item, "content": [], "status": "in_progress"}
        yield "response.output_item.added", {"output_index": place, "item": empty}
        yield from _text_events(item, where)
    else:
        empty = {**item, "arguments": "", "status": "in_progress"}
        yield "response.output_item.added", {"output_index": place, "item": empty}
        arguments = str(item["arguments"])
        for piece in pieces(arguments):
            yield "response.function_call_arguments.delta", {**where, "delta": piece}
        if ended:
            yield "response.function_call_arguments.done", {**where, "arguments": arguments, "name": item["name"]}
    if ended:
        yield "response.output_item.done", {"output_index": place, "item": item}


def _summary_events(item: Mapping[str, JSON], where: dict[str, JSON]) -> Iterator[_Event]:
    part = _part(item["summary"])
    if part is None:
        return
    at: dict[str, JSON] = {**where, "summary_index": 0}
    yield "response.reasoning_summary_part.added", {**at, "part": {"type": "summary_text", "text": ""}}
    for piece in pieces(str(part["text"])):
        yield "response.reasoning_summary_text.delta", {**at, "delta": piece}
    yield "response.reasoning_summary_text.done", {**at, "text": part["text"]}
    yield "response.reasoning_summary_part.done", {**at, "part": part}


def _text_events(item: Mapping[str, JSON], where: dict[str, JSON]) -> Iterator[_Event]:
    part = _part(item["content"])
    if part is None:
        return
    at: dict[str, JSON] = {**where, "content_index": 0}
    yield "response.content_part.added", {**at, "part": {**part, "text": ""}}
    for piece in pieces(str(part["text"])):
        yield "response.output_text.delta", {**at, "delta": piece, "logprobs": []}
    yield "response.output_text.done", {**at, "text": part["text"], "logprobs": []}
    yield "response.content_part.done", {**at, "part": part}


def _part(parts: JSON) -> Mapping[str, JSON] | None:
    part = parts[0] if isinstance(parts, list) and parts else None
    return part if isinstance(part, Mapping) else None


def _output(reply: Reply, told: Told) -> list[dict[str, JSON]]:
    items: list[dict[str, JSON]] = []
    if reply.reasoning or reply.signature:
        items.append(_reasoning(reply, told))
    if reply.text or not reply.tool_calls:
        text: JSON = {"type": "output_text", "annotations": [], "logprobs": [], "text": reply.text}
        said: dict[str, JSON] = {"id": f"msg_{_ID}", "type": "message", "status": "completed", "role": "assistant"}
        items.append({**said, "content": [text]})
    items += [_call(call, index) for index, call in enumerate(reply.tool_calls)]
    return items


def _reasoning(reply: Reply, told: Told) -> dict[str, JSON]:
    summary: list[JSON] = [{"type": "summary_text", "text": reply.reasoning}] if reply.reasoning else []
    item: dict[str, JSON] = {"id": f"rs_{_ID}", "type": "reasoning", "summary": summary}
    return {**item, "encrypted_content": reply.signature} if told.encrypted and reply.signature else item


def _call(call: ToolCall, index: int) -> dict[str, JSON]:
    return {
        "id": f"fc_{_ID}_{index}",
        "type": "function_call",
        "status": "completed",
        "arguments": arguments_text(call),
        "call_id": call.id or f"call_{index}",
        "name": call.name,
    }


def _status(reply: Reply) -> str:
    if reply.finish == "error":
        return "failed"
    return "incomplete" if reply.finish in ("length", "content_filter", "pause", "other") else "completed"


def _response(reply: Reply, told: Told, begun: str = "") -> dict[str, JSON]:
    status = begun or _status(reply)
    usage = told.usage if told.usage.known and not begun else None
    reason = _REASONS.get(reply.finish or "", reply.finish)
    failed: JSON = {"code": "server_error", "message": "the reply ends with an error"}
    return {
        "id": f"resp_{_ID}",
        "object": "response",
        "created_at": _TIME,
        "status": status,
        "error": failed if status == "failed" else None,
        "incomplete_details": {"reason": reason} if status == "incomplete" else None,
        "instructions": None,
        "metadata": {},
        "model": told.model,
        "output": [] if begun else _output(reply, told),
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": None if usage is None else _wire_usage(usage),
    }


def _wire_usage(usage: Usage) -> JSON:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def _written(value: Mapping[str, JSON]) -> bytes:
    return json.dumps(value, default=dict).replace(_ID, NUMBER).encode()
