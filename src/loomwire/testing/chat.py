"""How the loopback server says a reply in the wire dialect of OpenAI chat completions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, final

import msgspec
from typing_extensions import override

from loomwire.domain.pricing import Usage
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.chat_body import NUMBER, stream_events, told_usage, whole_body
from loomwire.testing.wire import End, HttpReply, LoopbackRequest, Piece, WireReply, http_chunk

_MOST_SAYINGS: Final = 64
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


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool = False


class _Asked(msgspec.Struct, frozen=True):
    """What of a request decides the shape of the answer."""

    model: str = "loopback"
    stream: bool = False
    stream_options: _StreamOptions | None = None


_DECODER = msgspec.json.Decoder(_Asked)


@final
class ChatReply(WireReply):
    """A described reply as the server says it; built once per kind of request, afterwards only numbered.

    Without usage in the reply, four bytes of the request and of the answer count as a token. As with OpenAI, a stream
    tells its usage only when `stream_options.include_usage` asks for it.
    """

    __slots__ = ("_reply", "_sayings")

    def __init__(self, reply: Reply) -> None:
        """Keep the reply."""
        self._reply = reply
        self._sayings: dict[tuple[_Asked, int], tuple[Piece, ...]] = {}

    @override
    def pieces(self, request: LoopbackRequest) -> tuple[Piece, ...]:
        try:
            asked = _DECODER.decode(request.body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return tuple(chat_error(400, "the body is no chat completion request").whole())
        key = (asked, len(request.body))
        saying = self._sayings.get(key)
        if saying is None:
            if len(self._sayings) >= _MOST_SAYINGS:
                self._sayings.clear()
            saying = self._sayings[key] = tuple(_saying(self._reply, asked, len(request.body)))
        number = b"%012d" % request.number
        return tuple([_numbered(piece, number) for piece in saying])


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


def _saying(reply: Reply, asked: _Asked, size: int) -> Iterator[Piece]:
    if reply.delay_s:
        yield reply.delay_s
    if reply.failure is not None:
        yield from _refusal(reply.failure)
        return
    usage = told_usage(reply, size)
    if asked.stream:
        wants_usage = asked.stream_options is not None and asked.stream_options.include_usage
        events = stream_events(reply, asked.model, usage if wants_usage else None)
        end = b"0\r\n\r\n" if reply.cut_after is None else b""
        yield _head("text/event-stream; charset=utf-8", "transfer-encoding: chunked") + b"".join(
            (*map(http_chunk, events), end)
        )
    else:
        body = whole_body(reply, asked.model, usage)
        head = _head("application/json", f"content-length: {len(body)}")
        yield head + (body if reply.cut_after is None else body[: len(body) // 2])
    if reply.cut_after is not None:
        yield End.CLOSE


def _refusal(failure: Failure) -> Iterator[Piece]:
    status = failure.status or _STATUS.get(failure.reason, 500)
    words = failure.message or f"scripted failure: {failure.reason}"
    error = chat_error(status, words, code=_CODES.get(failure.reason), retry_after=failure.retry_after)
    return iter(error.whole())


def _head(kind: str, framing: str) -> bytes:
    lines = ("HTTP/1.1 200 OK", f"content-type: {kind}", f"x-request-id: req-{NUMBER}", framing)
    return "\r\n".join((*lines, "", "")).encode()


def _numbered(piece: Piece, number: bytes) -> Piece:
    return piece.replace(NUMBER.encode(), number) if isinstance(piece, bytes) else piece
