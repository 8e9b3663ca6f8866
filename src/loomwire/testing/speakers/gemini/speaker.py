"""How the loopback server says a reply as Google's generateContent does, streamed as events or as a JSON array."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, final
from urllib.parse import parse_qs, unquote

import msgspec
from typing_extensions import override

from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.speakers.gemini.body import stream_chunks, whole_body
from loomwire.testing.speakers.gemini.spoiled import CHANGES
from loomwire.testing.speakers.remembering import AskedModel, RememberingSpeaker, Wording, decoded
from loomwire.testing.speakers.telling import sentence
from loomwire.testing.wire import HttpReply

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


class _WireAsked(msgspec.Struct, frozen=True):
    contents: list[msgspec.Raw]


class _Asked(AskedModel, frozen=True):
    events: bool


_DECODER = msgspec.json.Decoder(_WireAsked)


@final
class GeminiSpeaker(RememberingSpeaker[_Asked]):
    """Speaks generateContent.

    A stream comes as server-sent events with `alt=sse`, else as one JSON array. Every chunk tells usage; without usage
    in the reply, four bytes of the request and of the answer count as a token. Calls without an id in the reply come
    without one.
    """

    __slots__ = ()

    def __init__(self) -> None:
        """Know nothing yet."""
        super().__init__(_Asked, CHANGES)

    @override
    def serves(self, path: str) -> bool:
        return _PATH.search(path) is not None and path.endswith("enerateContent")

    @override
    def asks(self, path: str, body: bytes) -> _Asked | None:
        plain, _, query = path.partition("?")
        found = _PATH.search(plain)
        if found is None or decoded(_DECODER, body) is None:
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
    def worded(self, reply: Reply, asked: _Asked, usage: Usage) -> Wording:
        if not asked.stream:
            return Wording("application/json; charset=UTF-8", body=whole_body(reply, asked.model, usage))
        chunks = stream_chunks(reply, asked.model, usage)
        if asked.events:
            return Wording("text/event-stream", events=(b"data: %b\r\n\r\n" % chunk for chunk in chunks))
        return Wording("application/json; charset=UTF-8", events=_array(chunks, reply))

    @override
    def misfit(self) -> HttpReply:
        return gemini_error(400, "INVALID_ARGUMENT", "* GenerateContentRequest.contents: contents is not specified")

    @override
    def refusal(self, failure: Failure) -> HttpReply:
        status, word = _STATUS.get(failure.reason, (500, "INTERNAL"))
        words = sentence(failure)
        if failure.reason == "context_length":
            words = f"{_TOO_LONG} {failure.message}".strip()
        return gemini_error(failure.status or status, word, words, _details(failure))

    @override
    def error_event(self, failure: Failure) -> bytes:
        # Bare, as Google writes it into its event streams (TRAPS.md 7).
        return json.dumps(self.refusal(failure).body, indent=2, default=dict).encode() + b"\n"


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


def _array(chunks: Iterable[bytes], reply: Reply) -> Iterator[bytes]:
    for number, chunk in enumerate(chunks):
        yield (b",\r\n" if number else b"[") + chunk + b"\n"
    if reply.cut_after is None:
        yield b"]"
