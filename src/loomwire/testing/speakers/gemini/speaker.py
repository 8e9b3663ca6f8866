"""How the loopback server says a reply as Google's generateContent does, streamed as events or as a JSON array."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, final
from urllib.parse import parse_qs, unquote

import msgspec
from typing_extensions import override

from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.speakers.gemini.body import NUMBER, stream_chunks, whole_body
from loomwire.testing.speakers.gemini.spoiled import spoiled_gemini
from loomwire.testing.speakers.openai_chat_body import told_usage
from loomwire.testing.speaking import Saying, Speaker, Worded
from loomwire.testing.wire import Asked, HttpReply, ReceivedRequest

_MOST_KNOWN: Final = 64
_PATH: Final = re.compile(r"/(?:models|tunedModels|endpoints)/([^/]+):(stream)?[gG]enerateContent")
_STATUS: Final[Mapping[str, tuple[int, str]]] = {
    "credentials": (400, "INVALID_ARGUMENT"),
    "quota_exhausted": (429, "RESOURCE_EXHAUSTED"),
    "denied": (403, "PERMISSION_DENIED"),
    "model": (404, "NOT_FOUND"),
    "gateway": (504, "DEADLINE_EXCEEDED"),
    "conflict": (409, "ABORTED"),
    "request_too_large": (413, "INVALID_ARGUMENT"),
    "throttled": (429, "RESOURCE_EXHAUSTED"),
    "unsupported": (501, "UNIMPLEMENTED"),
    "overloaded": (503, "UNAVAILABLE"),
    "invalid_request": (400, "INVALID_ARGUMENT"),
    "context_length": (400, "INVALID_ARGUMENT"),
    "content_filter": (400, "INVALID_ARGUMENT"),
}
# Nobody recorded an HTTP error for a filtered prompt: generateContent blocks it with status 200 and a blockReason.
_REASONS: Final = {"credentials": "API_KEY_INVALID", "content_filter": "PROHIBITED_CONTENT"}
_TOO_LONG: Final = "The input token count (1250074) exceeds the maximum number of tokens allowed (1048576)."
_RPC: Final = "type.googleapis.com/google.rpc."
_MARK: Final = NUMBER.encode()


class _WireAsked(msgspec.Struct, frozen=True):
    contents: list[msgspec.Raw]


class _Asked(msgspec.Struct, frozen=True):
    """What of a request decides the shape of the answer."""

    model: str
    stream: bool
    events: bool


_DECODER = msgspec.json.Decoder(_WireAsked)


@final
class GeminiSpeaker(Speaker):
    """Speaks generateContent. What it says is built once per kind of request, afterwards only numbered.

    A stream comes as server-sent events with `alt=sse`, else as one JSON array. Every chunk tells usage; without usage
    in the reply, four bytes of the request and of the answer count as a token. Calls without an id in the reply come
    without one.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        """Know nothing yet."""
        self._known: dict[tuple[int, _Asked, int], tuple[Reply, Worded]] = {}

    @override
    def serves(self, path: str) -> bool:
        return _PATH.search(path) is not None and path.endswith("enerateContent")

    @override
    def asks(self, path: str, body: bytes) -> Asked | None:
        plain, _, query = path.partition("?")
        found = _PATH.search(plain)
        try:
            _DECODER.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        if found is None:
            return None
        return _Asked(unquote(found[1]), found[2] is not None, parse_qs(query).get("alt") == ["sse"])

    @override
    def listing(self, path: str, models: Sequence[str]) -> HttpReply | None:
        if not path.endswith("/v1beta/models"):
            return None
        rows: list[JSON] = [
            {
                "name": f"models/{name}",
                "version": "001",
                "displayName": name,
                "inputTokenLimit": 1_048_576,
                "outputTokenLimit": 65_536,
                "supportedGenerationMethods": ["generateContent", "countTokens"],
            }
            for name in models
        ]
        return HttpReply(body={"models": rows})

    @override
    def words(self, reply: Reply, request: ReceivedRequest) -> Worded:
        asked = request.asked if isinstance(request.asked, _Asked) else self.asks(request.path, request.body)
        if not isinstance(asked, _Asked):
            return gemini_error(400, "INVALID_ARGUMENT", "* GenerateContentRequest.contents: contents is not specified")
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
        status, word = _STATUS.get(failure.reason, (500, "INTERNAL"))
        words = failure.message or f"scripted failure: {failure.reason}"
        if failure.reason == "context_length":
            words = f"{_TOO_LONG} {failure.message}".strip()
        return gemini_error(failure.status or status, word, words, _details(failure))

    @override
    def error_event(self, failure: Failure) -> bytes:
        # Bare, as Google writes it into its event streams (TRAPS.md 7).
        return json.dumps(self.refusal(failure).body, indent=2, default=dict).encode() + b"\n"

    @override
    def spoiled(self, saying: Saying) -> Mapping[str, Saying]:
        return spoiled_gemini(saying)


def gemini_error(status: int, word: str, message: str, details: Iterable[JSON] = ()) -> HttpReply:
    """Return an error as Google words it.

    Args:
        status: The HTTP status.
        word: The name of the google.rpc status.
        message: What a person reads.
        details: Objects of google.rpc, such as RetryInfo.
    """
    error: dict[str, JSON] = {"code": status, "message": message, "status": word}
    listed = list(details)
    if listed:
        error["details"] = listed
    return HttpReply(status, {"error": error})


def _details(failure: Failure) -> Iterator[JSON]:
    if failure.reason in _REASONS:
        yield {"@type": f"{_RPC}ErrorInfo", "reason": _REASONS[failure.reason], "domain": "googleapis.com"}
    if failure.reason == "quota_exhausted":
        violation: JSON = {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}
        yield {"@type": f"{_RPC}QuotaFailure", "violations": [violation]}
    if failure.retry_after is not None:
        yield {"@type": f"{_RPC}RetryInfo", "retryDelay": f"{failure.retry_after:g}s"}


def _worded(reply: Reply, asked: _Asked, size: int) -> Worded:
    if reply.failure is not None:
        return GeminiSpeaker().refusal(reply.failure)
    usage = told_usage(reply, size)
    chunks = list(stream_chunks(reply, asked.model, usage)) if asked.stream else []
    is_events = asked.stream and asked.events
    return Saying(
        model=asked.model,
        usage=usage,
        content_type="text/event-stream" if is_events else "application/json; charset=UTF-8",
        request_id=f"req-{NUMBER}",
        events=tuple(b"data: %b\r\n\r\n" % chunk for chunk in chunks) if is_events else _array(chunks, reply),
        body=b"" if asked.stream else whole_body(reply, asked.model, usage),
        delay_s=reply.delay_s,
        cut=reply.cut_after is not None,
    )


def _array(chunks: Sequence[bytes], reply: Reply) -> tuple[bytes, ...]:
    elements = [(b",\r\n" if number else b"[") + chunk + b"\n" for number, chunk in enumerate(chunks)]
    return (*elements, b"]") if chunks and reply.cut_after is None else tuple(elements)


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
