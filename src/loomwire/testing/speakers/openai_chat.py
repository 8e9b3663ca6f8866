"""How the loopback server says a reply in the wire dialect of OpenAI chat completions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, final

import msgspec
from typing_extensions import override

from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.speakers.openai_chat_body import (
    NUMBER,
    PROMPT_FILTERED,
    deployment,
    stream_events,
    told_usage,
    whole_body,
)
from loomwire.testing.speakers.openai_chat_spoiled import spoiled_chat
from loomwire.testing.speaking import Saying, Speaker, Worded
from loomwire.testing.wire import Asked, HttpReply, ReceivedRequest

_MOST_KNOWN: Final = 64
_STATUS: Final = {
    "credentials": 401,
    "quota_exhausted": 429,
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
_CODES: Final = {
    "credentials": "invalid_api_key",
    "quota_exhausted": "insufficient_quota",
    "model": "model_not_found",
    "throttled": "rate_limit_exceeded",
    "context_length": "context_length_exceeded",
    "content_filter": "content_filter",
}

_AZURE: Final = "/openai/"
_AZURE_CODES: Final = {"credentials": "401", "model": "DeploymentNotFound", "throttled": "429"}


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool | None = None


class _WireAsked(msgspec.Struct, frozen=True):
    model: str = ""
    stream: bool | None = None
    stream_options: _StreamOptions | None = None


class _Asked(msgspec.Struct, frozen=True):
    """What of a request decides the shape of the answer."""

    model: str
    stream: bool
    tells_usage: bool
    azure: bool


_MARK: Final = NUMBER.encode()
_DECODER = msgspec.json.Decoder(_WireAsked)


@final
class ChatSpeaker(Speaker):
    """Speaks OpenAI chat completions. What it says is built once per kind of request, afterwards only numbered.

    Without usage in the reply, four bytes of the request and of the answer count as a token. As with OpenAI, a stream
    tells its usage only when `stream_options.include_usage` asks for it. Below `/openai/` it speaks as Azure does.
    Thinking with a signature comes as OpenRouter's `reasoning_details`: OpenAI's chat has no place for one.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        """Know nothing yet."""
        self._known: dict[tuple[int, _Asked, int], tuple[Reply, Worded]] = {}

    @override
    def serves(self, path: str) -> bool:
        return path.endswith("/chat/completions")

    @override
    def asks(self, path: str, body: bytes) -> Asked | None:
        try:
            asked = _DECODER.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        options = asked.stream_options
        tells_usage = options is not None and bool(options.include_usage)
        azure = _AZURE in path
        model = deployment(path) if azure else ""
        return _Asked(model or asked.model or "loopback", bool(asked.stream), tells_usage, azure)

    @override
    def listing(self, path: str, models: Sequence[str]) -> HttpReply | None:
        if not path.endswith("/models"):
            return None
        rows: list[JSON] = [
            {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "loomwire"} for name in models
        ]
        return HttpReply(body={"object": "list", "data": rows})

    @override
    def words(self, reply: Reply, request: ReceivedRequest) -> Worded:
        asked = request.asked if isinstance(request.asked, _Asked) else self.asks(request.path, request.body)
        if not isinstance(asked, _Asked):
            return chat_error(400, "the body is no chat completion request")
        key = (id(reply), asked, len(request.body))
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            # The reply is kept with it, so that no other can get its id.
            known = self._known[key] = (reply, _worded(reply, asked, len(request.body)))
        worded = known[1]
        return _numbered(worded, request) if isinstance(worded, Saying) else worded

    @override
    def refusal(self, failure: Failure) -> HttpReply:
        return _refused(failure, {})

    @override
    def error_event(self, failure: Failure) -> bytes:
        words = failure.message or f"scripted failure: {failure.reason}"
        kind = "server_error" if _STATUS.get(failure.reason, 500) >= 500 else "invalid_request_error"
        return (
            b"data: %b\n\n"
            % json.dumps(
                {"error": {"message": words, "type": kind, "param": None, "code": _CODES.get(failure.reason)}}
            ).encode()
        )

    @override
    def spoiled(self, saying: Saying) -> Mapping[str, Saying]:
        return spoiled_chat(saying)


def chat_error(status: int, message: str, *, code: str | None = None, retry_after: float | None = None) -> HttpReply:
    """Return an error as OpenAI words it.

    Args:
        status: The HTTP status.
        message: What a person reads.
        code: The machine's word, or None.
        retry_after: Seconds for the header `retry-after`, or None for no such header.
    """
    kind = "server_error" if status >= 500 else "invalid_request_error"
    wait = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    return HttpReply(status, {"error": {"message": message, "type": kind, "param": None, "code": code}}, wait)


def chat_events(reply: Reply, *, model: str = "loopback", usage: Usage | None = None) -> list[bytes]:
    """Return the server-sent events that stream a reply, `[DONE]` included, to be delayed, cut or spoiled by a test.

    Args:
        reply: What is said; with `cut_after` the events end there.
        model: The model's name in the events.
        usage: Sent in an event of its own before `[DONE]`; None sends none.

    Example:
        >>> first, *rest = chat_events(Reply("Hello there."))
        >>> slow = HttpReply(chunks=[first, 0.05, *rest])
    """
    return [event.replace(NUMBER.encode(), b"0" * 12) for event in stream_events(reply, model, usage)]


def _refused(failure: Failure, other_codes: Mapping[str, str]) -> HttpReply:
    status = failure.status or _STATUS.get(failure.reason, 500)
    words = failure.message or f"scripted failure: {failure.reason}"
    code = other_codes.get(failure.reason) or _CODES.get(failure.reason)
    return chat_error(status, words, code=code, retry_after=failure.retry_after)


def _events(reply: Reply, asked: _Asked, usage: Usage) -> Iterator[bytes]:
    if asked.azure:
        yield PROMPT_FILTERED
    yield from stream_events(reply, asked.model, usage if asked.tells_usage else None)


def _worded(reply: Reply, asked: _Asked, size: int) -> Worded:
    if reply.failure is not None:
        return _refused(reply.failure, _AZURE_CODES if asked.azure else {})
    usage = told_usage(reply, size)
    streamed = asked.stream
    return Saying(
        model=asked.model,
        usage=usage,
        content_type="text/event-stream; charset=utf-8" if streamed else "application/json",
        request_id=f"req-{NUMBER}",
        events=tuple(_events(reply, asked, usage)) if streamed else (),
        body=b"" if streamed else whole_body(reply, asked.model, usage),
        delay_s=reply.delay_s,
        cut=reply.cut_after is not None,
    )


def _numbered(saying: Saying, request: ReceivedRequest) -> Saying:
    number = request.number
    told = b"%012d" % number
    return replace(
        saying,
        request_id=f"req-{number:012d}",
        events=tuple([event.replace(_MARK, told) for event in saying.events]),
        body=saying.body.replace(_MARK, told),
        pace=None if request.pace is None else request.pace.of(number),
    )
