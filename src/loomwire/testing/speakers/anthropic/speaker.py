"""How the loopback server says a reply in the wire dialect of Anthropic messages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, final

import msgspec
from typing_extensions import override

from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.speakers.anthropic.body import NUMBER, stream_events, told_usage, whole_body
from loomwire.testing.speakers.anthropic.spoiled import spoiled_messages
from loomwire.testing.speaking import Saying, Speaker, Worded
from loomwire.testing.wire import Asked, HttpReply, ReceivedRequest

_MOST_KNOWN: Final = 64
_ID_HEADER: Final = "request-id"
_REFUSALS: Final = {
    "credentials": (401, "authentication_error"),
    "quota_exhausted": (402, "billing_error"),
    "denied": (403, "permission_error"),
    "model": (404, "not_found_error"),
    "gateway": (504, "timeout_error"),
    "conflict": (409, "invalid_request_error"),
    "request_too_large": (413, "request_too_large"),
    "throttled": (429, "rate_limit_error"),
    "unsupported": (501, "api_error"),
    "overloaded": (529, "overloaded_error"),
    "invalid_request": (400, "invalid_request_error"),
    "context_length": (400, "invalid_request_error"),
    "content_filter": (400, "invalid_request_error"),
}
# For these the vendor has no type, only a sentence.
_SENTENCES: Final = {
    "context_length": "prompt is too long: ",
    "content_filter": "Output blocked by content filtering policy: ",
}


class _WireAsked(msgspec.Struct, frozen=True):
    max_tokens: int
    messages: list[msgspec.Raw]
    model: str = "loopback"
    stream: bool | None = None


class _Asked(msgspec.Struct, frozen=True):
    """What of a request decides the shape of the answer."""

    model: str
    stream: bool


_MARK: Final = NUMBER.encode()
_DECODER = msgspec.json.Decoder(_WireAsked)


@final
class MessagesSpeaker(Speaker):
    """Speaks Anthropic messages. What it says is built once per kind of request, afterwards only numbered.

    Without usage in the reply, four bytes of the request and of the answer count as a token. A request without
    `max_tokens` is refused, as by the vendor.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        """Know nothing yet."""
        self._known: dict[tuple[int, _Asked, int], tuple[Reply, Worded]] = {}

    @override
    def serves(self, path: str) -> bool:
        return path.endswith("/messages")

    @override
    def asks(self, path: str, body: bytes) -> Asked | None:
        try:
            asked = _DECODER.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return _Asked(asked.model, bool(asked.stream))

    @override
    def listing(self, path: str, models: Sequence[str]) -> HttpReply | None:
        if not path.endswith("/models"):
            return None
        rows: list[JSON] = [
            {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"} for name in models
        ]
        ends: tuple[JSON, JSON] = (models[0], models[-1]) if models else (None, None)
        return HttpReply(body={"data": rows, "has_more": False, "first_id": ends[0], "last_id": ends[1]})

    @override
    def words(self, reply: Reply, request: ReceivedRequest) -> Worded:
        asked = request.asked if isinstance(request.asked, _Asked) else self.asks(request.path, request.body)
        if not isinstance(asked, _Asked):
            words = "messages, model and max_tokens: Field required"
            return _identified(_error(400, "invalid_request_error", words), request)
        key = (id(reply), asked, len(request.body))
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            # The reply is kept with it, so that no other can get its id.
            known = self._known[key] = (reply, self._worded(reply, asked, len(request.body)))
        worded = known[1]
        return _numbered(worded, request) if isinstance(worded, Saying) else _identified(worded, request)

    @override
    def refusal(self, failure: Failure) -> HttpReply:
        status, kind = _REFUSALS.get(failure.reason, (500, "api_error"))
        return _error(failure.status or status, kind, _sentence(failure), failure.retry_after)

    @override
    def error_event(self, failure: Failure) -> bytes:
        _, kind = _REFUSALS.get(failure.reason, (500, "api_error"))
        error: JSON = {"type": "error", "error": {"details": None, "type": kind, "message": _sentence(failure)}}
        return b"event: error\ndata: %b\n\n" % json.dumps(error).encode()

    @override
    def spoiled(self, saying: Saying) -> Mapping[str, Saying]:
        return spoiled_messages(saying)

    def _worded(self, reply: Reply, asked: _Asked, size: int) -> Worded:
        if reply.failure is not None:
            return self.refusal(reply.failure)
        usage = told_usage(reply, size)
        streamed = asked.stream
        return Saying(
            model=asked.model,
            usage=usage,
            content_type="text/event-stream; charset=utf-8" if streamed else "application/json",
            request_id=f"req-{NUMBER}",
            events=tuple(stream_events(reply, asked.model, usage)) if streamed else (),
            body=b"" if streamed else whole_body(reply, asked.model, usage),
            delay_s=reply.delay_s,
            cut=reply.cut_after is not None,
            id_header=_ID_HEADER,
        )


def _sentence(failure: Failure) -> str:
    return _SENTENCES.get(failure.reason, "") + (failure.message or f"scripted failure: {failure.reason}")


def _error(status: int, kind: str, message: str, retry_after: float | None = None) -> HttpReply:
    wait = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    return HttpReply(status, {"type": "error", "error": {"type": kind, "message": message}}, wait)


def _identified(refused: HttpReply, request: ReceivedRequest) -> HttpReply:
    body = refused.body
    said: JSON = {**body, "request_id": request.id} if isinstance(body, Mapping) else None
    return replace(refused, body=said, headers={**refused.headers, _ID_HEADER: request.id})


def _numbered(saying: Saying, request: ReceivedRequest) -> Saying:
    number = request.number
    told = b"%012d" % number
    return replace(
        saying,
        request_id=f"req-{number:012d}",
        # A stream says its id in its first event only.
        events=(saying.events[0].replace(_MARK, told), *saying.events[1:]) if saying.events else (),
        body=saying.body.replace(_MARK, told),
        pace=None if request.pace is None else request.pace.of(number),
    )
