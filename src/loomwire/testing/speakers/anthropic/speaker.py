"""How the loopback server says a reply in the wire dialect of Anthropic messages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, final

import msgspec
from typing_extensions import override

from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.speakers.anthropic.body import stream_events, whole_body
from loomwire.testing.speakers.anthropic.spoiled import CHANGES
from loomwire.testing.speakers.remembering import AskedFields, AskedModel, RememberingSpeaker, Wording, decoded
from loomwire.testing.speakers.telling import retry_header, sentence
from loomwire.testing.wire import HttpReply, ReceivedRequest

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


class _WireAsked(AskedFields, frozen=True, kw_only=True):
    max_tokens: int
    messages: list[msgspec.Raw]


class _Asked(AskedModel, frozen=True):
    pass


_DECODER = msgspec.json.Decoder(_WireAsked)


@final
class MessagesSpeaker(RememberingSpeaker[_Asked]):
    """Speaks Anthropic messages.

    Without usage in the reply, four bytes of the request and of the answer count as a token. A request without
    `max_tokens` is refused, as by the vendor.
    """

    __slots__ = ()

    def __init__(self) -> None:
        """Know nothing yet."""
        super().__init__(_Asked, CHANGES, id_header=_ID_HEADER)

    @override
    def serves(self, path: str) -> bool:
        return path.endswith("/messages")

    @override
    def asks(self, path: str, body: bytes) -> _Asked | None:
        asked = decoded(_DECODER, body)
        return None if asked is None else _Asked(asked.model, bool(asked.stream))

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
    def worded(self, reply: Reply, asked: _Asked, usage: Usage) -> Wording:
        if asked.stream:
            return Wording("text/event-stream; charset=utf-8", events=stream_events(reply, asked.model, usage))
        return Wording("application/json", body=whole_body(reply, asked.model, usage))

    @override
    def misfit(self) -> HttpReply:
        return _error(400, "invalid_request_error", "messages, model and max_tokens: Field required")

    @override
    def identified(self, refused: HttpReply, request: ReceivedRequest) -> HttpReply:
        body = refused.body
        said: JSON = {**body, "request_id": request.id} if isinstance(body, Mapping) else None
        return replace(refused, body=said, headers={**refused.headers, _ID_HEADER: request.id})

    @override
    def refusal(self, failure: Failure) -> HttpReply:
        status, kind = _REFUSALS.get(failure.reason, (500, "api_error"))
        return _error(failure.status or status, kind, _sentence(failure), failure.retry_after)

    @override
    def error_event(self, failure: Failure) -> bytes:
        _, kind = _REFUSALS.get(failure.reason, (500, "api_error"))
        error: JSON = {"type": "error", "error": {"details": None, "type": kind, "message": _sentence(failure)}}
        return b"event: error\ndata: %b\n\n" % json.dumps(error).encode()


def _sentence(failure: Failure) -> str:
    return _SENTENCES.get(failure.reason, "") + sentence(failure)


def _error(status: int, kind: str, message: str, retry_after: float | None = None) -> HttpReply:
    error: JSON = {"type": "error", "error": {"type": kind, "message": message}}
    return HttpReply(status, error, retry_header(retry_after))
