"""Echo as its servers speak it, for `FakeProvider(speakers=["loomwire_echo.speaker:EchoSpeaker"])`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import msgspec
from typing_extensions import override

from loomwire.dialects import JSON, ToolCall, Usage
from loomwire.testing import Failure, HttpReply, ReceivedRequest, Reply
from loomwire.testing.speaking import Saying, Speaker, Worded
from loomwire.testing.wire import Asked

_STATUS = {
    "credentials": 401,
    "quota_exhausted": 402,
    "denied": 403,
    "model": 404,
    "gateway": 504,
    "conflict": 409,
    "request_too_large": 413,
    "throttled": 429,
    "unsupported": 501,
    "overloaded": 503,
    "invalid_request": 400,
    "context_length": 400,
    "content_filter": 400,
}
_CODES = {
    "credentials": "bad_key",
    "quota_exhausted": "empty_purse",
    "model": "no_such_engine",
    "context_length": "too_many_words",
    "content_filter": "unspeakable",
}
_WHY = {None: "done", "stop": "done", "length": "most", "tool_calls": "calls", "content_filter": "filter"}


class _Body(msgspec.Struct):
    engine: str
    flow: bool = False


@dataclass(frozen=True)
class _Asked:
    model: str
    stream: bool


@final
class EchoSpeaker(Speaker):
    """Speaks Echo. A reply without usage counts a token for four bytes."""

    @override
    def serves(self, path: str) -> bool:
        return path.endswith("/echo")

    @override
    def asks(self, path: str, body: bytes) -> Asked | None:
        try:
            asked = msgspec.json.decode(body, type=_Body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return _Asked(asked.engine, asked.flow)

    @override
    def listing(self, path: str, models: Sequence[str]) -> HttpReply | None:
        return HttpReply(body={"engines": [*models]}) if path.endswith("/engines") else None

    @override
    def words(self, reply: Reply, request: ReceivedRequest) -> Worded:
        asked = self.asks(request.path, request.body)
        if asked is None:
            return self.refusal(Failure("invalid_request", "the body is no request of Echo"))
        if reply.failure is not None:
            return self.refusal(reply.failure)
        usage = reply.usage or Usage(-(-len(request.body) // 4), -(-len(reply.text.encode()) // 4))
        id = f"echo-{request.number}"
        cut = reply.cut_after is not None
        saying = Saying(
            model=asked.model,
            usage=usage,
            content_type="application/json",
            request_id=f"req-{request.number:012d}",
            delay_s=reply.delay_s,
            cut=cut,
            pace=None if request.pace is None else request.pace.of(request.number),
        )
        if not asked.stream:
            return replace(saying, body=_whole(reply, asked.model, usage, id))
        events = tuple(map(_framed, _events(reply, asked.model, usage, id)))
        return replace(saying, content_type="text/event-stream", events=events)

    @override
    def refusal(self, failure: Failure) -> HttpReply:
        wait = {} if failure.retry_after is None else {"retry-after": f"{failure.retry_after:g}"}
        return HttpReply(failure.status or _STATUS.get(failure.reason, 500), _error(failure), wait)

    @override
    def error_event(self, failure: Failure) -> bytes:
        return _framed(_error(failure))

    @override
    def spoiled(self, saying: Saying) -> Mapping[str, Saying]:
        return {name: change(saying) for name, change in _SPOILED.items()}


def _error(failure: Failure) -> dict[str, JSON]:
    words = failure.message or f"scripted failure: {failure.reason}"
    return {"error": {"code": _CODES.get(failure.reason, "trouble"), "message": words}}


def _framed(event: Mapping[str, JSON]) -> bytes:
    return b"data: %b\n\n" % json.dumps(event, default=dict).encode()


def _key(call: ToolCall, place: int) -> str:
    return call.id or f"key_{place}"


def _tally(usage: Usage) -> dict[str, JSON]:
    return {
        "read": usage.input_tokens,
        "written": usage.output_tokens,
        "cached": usage.cache_read_tokens,
        "thought": usage.reasoning_tokens,
    }


def _ends(reply: Reply, usage: Usage) -> dict[str, JSON]:
    finish = reply.finish or ("tool_calls" if reply.tool_calls else None)
    return {"why": _WHY.get(finish, finish), "tally": _tally(usage)}


def _whole(reply: Reply, model: str, usage: Usage, id: str) -> bytes:
    said: list[JSON] = []
    if reply.reasoning:
        said.append({"thought": {"text": reply.reasoning, "seal": reply.signature or None}})
    if reply.text:
        said.append({"text": reply.text})
    for place, call in enumerate(reply.tool_calls):
        said.append({"call": {"key": _key(call, place), "tool": call.name, "with": call.arguments}})
    return json.dumps({"id": id, "engine": model, "said": said, **_ends(reply, usage)}, default=dict).encode()


def _events(reply: Reply, model: str, usage: Usage, id: str) -> Iterator[Mapping[str, JSON]]:
    yield {"kind": "begin", "id": id, "engine": model}
    left = reply.cut_after
    for kind, text in (("thought", reply.reasoning), ("text", reply.text)):
        shown = text if left is None else text[:left]
        left = None if left is None else left - len(shown)
        for at in range(0, len(shown), 4):
            yield {"id": id, "kind": kind, "text": shown[at : at + 4]}
        if kind == "thought" and reply.signature:
            yield {"kind": "seal", "seal": reply.signature}
    if left is not None:
        return
    for place, call in enumerate(reply.tool_calls):
        yield {"kind": "call", "at": place, "key": _key(call, place), "tool": call.name}
        raw = json.dumps(call.arguments, default=dict)
        for at in range(0, len(raw), 8):
            yield {"kind": "with", "at": place, "json": raw[at : at + 8]}
    yield {"kind": "end", **_ends(reply, usage)}


def _changed(old: bytes, new: bytes) -> Callable[[Saying], Saying]:
    def change(saying: Saying) -> Saying:
        events = tuple(event.replace(old, new) for event in saying.events)
        return replace(saying, events=events, body=saying.body.replace(old, new))

    return change


_SPOILED: dict[str, Callable[[Saying], Saying]] = {
    "no_finish_reason": _changed(b'"why": "', b'"whither": "'),
    "empty_choices": _changed(b'"said": [', b'"sung": ['),
    "duplicate_keys": _changed(b'"kind": "text"', b'"kind": "ghost", "kind": "text"'),
    "negative_usage": _changed(b'"read": ', b'"read": -1'),
    "same_call_index": _changed(b'"at": 1', b'"at": 0'),
    "stray_call_index": _changed(b'"kind": "with", "at": 0', b'"kind": "with", "at": 77'),
    "no_call_id": _changed(b'"key": "', b'"lock": "'),
}
