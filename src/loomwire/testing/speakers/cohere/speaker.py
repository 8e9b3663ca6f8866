"""How the loopback server says a reply in the wire dialect of Cohere's chat v2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, final

import msgspec
from typing_extensions import override

from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.speakers.cohere.body import failed_event, stream_events, whole_body
from loomwire.testing.speakers.cohere.spoiled import spoiled_chat
from loomwire.testing.speakers.openai_chat_body import NUMBER, told_usage
from loomwire.testing.speaking import Saying, Speaker, Worded
from loomwire.testing.wire import Asked, HttpReply, ReceivedRequest

_MOST_KNOWN: Final = 64
_ERROR_ID: Final = "00000000-0000-4000-8000-00000000e000"
_STATUS: Final = {
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
# The one that was seen; for the others Cohere has a status and a sentence.
_TYPES: Final = {"context_length": "TOO_MANY_TOKENS"}


class _Asked(msgspec.Struct, frozen=True):
    model: str
    stream: bool = False


class _WireAsked(msgspec.Struct, frozen=True):
    model: str = "loopback"
    stream: bool | None = None


_MARK: Final = NUMBER.encode()
_DECODER = msgspec.json.Decoder(_WireAsked)


@final
class CohereSpeaker(Speaker):
    """Speaks Cohere's chat v2. What it says is built once per kind of request, afterwards only numbered.

    Without usage in the reply, four bytes of the request and of the answer count as a token, billed and used alike.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        """Know nothing yet."""
        self._known: dict[tuple[int, _Asked, int], tuple[Reply, Worded]] = {}

    @override
    def serves(self, path: str) -> bool:
        return path.endswith("/chat") and not path.endswith("/api/chat")  # which is Ollama's

    @override
    def asks(self, path: str, body: bytes) -> Asked | None:
        return _asked(body)

    @override
    def listing(self, path: str, models: Sequence[str]) -> HttpReply | None:
        if not path.endswith("/models"):
            return None
        rows: list[JSON] = [
            {"name": name, "endpoints": ["chat"], "finetuned": False, "context_length": 128_000} for name in models
        ]
        return HttpReply(body={"models": rows})

    @override
    def words(self, reply: Reply, request: ReceivedRequest) -> Worded:
        asked = request.asked if isinstance(request.asked, _Asked) else _asked(request.body)
        if asked is None:
            return _error(400, "the body is no chat request")
        key = (id(reply), asked, len(request.body))
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            # The reply is kept with it, so that no other can get its id.
            known = self._known[key] = (reply, self._worded(reply, asked, len(request.body)))
        worded = known[1]
        return _numbered(worded, request) if isinstance(worded, Saying) else worded

    @override
    def refusal(self, failure: Failure) -> HttpReply:
        status = failure.status or _STATUS.get(failure.reason, 500)
        return _error(status, _sentence(failure), _TYPES.get(failure.reason), failure.retry_after)

    @override
    def error_event(self, failure: Failure) -> bytes:
        return failed_event(_sentence(failure), _TYPES.get(failure.reason))

    @override
    def spoiled(self, saying: Saying) -> Mapping[str, Saying]:
        return spoiled_chat(saying)

    def _worded(self, reply: Reply, asked: _Asked, size: int) -> Worded:
        if reply.failure is not None:
            return self.refusal(reply.failure)
        usage = told_usage(reply, size)
        return Saying(
            model=asked.model,
            usage=usage,
            content_type="text/event-stream" if asked.stream else "application/json",
            request_id=f"req-{NUMBER}",
            events=tuple(stream_events(reply, usage)) if asked.stream else (),
            body=b"" if asked.stream else whole_body(reply, usage),
            delay_s=reply.delay_s,
            cut=reply.cut_after is not None,
        )


def _asked(body: bytes) -> _Asked | None:
    try:
        asked = _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return _Asked(asked.model, bool(asked.stream))


def _sentence(failure: Failure) -> str:
    if failure.message:
        return failure.message
    words = f"scripted failure: {failure.reason}"
    return f"too many tokens: {words}" if failure.reason == "context_length" else words


def _error(status: int, message: str, kind: str | None = None, retry_after: float | None = None) -> HttpReply:
    wait = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    body: dict[str, JSON] = {"id": _ERROR_ID, "message": message}
    return HttpReply(status, body if kind is None else {"error_type": kind, **body}, wait)


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
