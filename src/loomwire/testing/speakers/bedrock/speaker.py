"""How the loopback server says a reply in the wire dialect of Bedrock's Converse and ConverseStream."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, final
from urllib.parse import unquote

import msgspec
from typing_extensions import override

from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.speakers.bedrock.body import stream_events, whole_body
from loomwire.testing.speakers.bedrock.frames import CONTENT_TYPE, exception
from loomwire.testing.speakers.bedrock.spoiled import spoiled_converse
from loomwire.testing.speakers.openai_chat_body import told_usage
from loomwire.testing.speaking import Saying, Speaker, Worded
from loomwire.testing.wire import Asked, HttpReply, ReceivedRequest

_MOST_KNOWN: Final = 64
_ID_HEADER: Final = "x-amzn-requestid"
_PATH: Final = re.compile(r"/model/([^/]+)/converse(-stream)?\Z")
_REFUSALS: Final[Mapping[str, tuple[int, str]]] = {
    "credentials": (403, "UnrecognizedClientException"),
    "quota_exhausted": (400, "ServiceQuotaExceededException"),
    "denied": (403, "AccessDeniedException"),
    "model": (404, "ResourceNotFoundException"),
    "gateway": (408, "ModelTimeoutException"),
    "conflict": (400, "ConflictException"),
    "request_too_large": (413, "RequestEntityTooLargeException"),
    "throttled": (429, "ThrottlingException"),
    "unsupported": (404, "UnknownOperationException"),
    "overloaded": (503, "ServiceUnavailableException"),
    "invalid_request": (400, "ValidationException"),
    "context_length": (400, "ValidationException"),
    "content_filter": (400, "ValidationException"),
}
_SERVER: Final = (500, "InternalServerException")
# For these the service has no kind, only a sentence.
_SENTENCES: Final[Mapping[str, str]] = {
    "context_length": "The model returned the following errors: Input is too long for requested model. ",
    "content_filter": "The model returned the following errors: Output blocked by content filtering policy ",
}


class _Asked(msgspec.Struct, frozen=True):
    """What of a request decides the shape of the answer."""

    model: str
    stream: bool


class _WireAsked(msgspec.Struct, frozen=True):
    messages: list[msgspec.Raw]


_DECODER = msgspec.json.Decoder(_WireAsked)


@final
class ConverseSpeaker(Speaker):
    """Speaks Converse. What it says is built once per kind of request, and has no id but in a header.

    Without usage in the reply, four bytes of the request and of the answer count as a token. It checks no signature.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        """Know nothing yet."""
        self._known: dict[tuple[int, _Asked, int], tuple[Reply, Worded]] = {}

    @override
    def serves(self, path: str) -> bool:
        return _PATH.search(path) is not None

    @override
    def asks(self, path: str, body: bytes) -> Asked | None:
        found = _PATH.search(path.partition("?")[0])
        try:
            _DECODER.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return None if found is None else _Asked(unquote(found[1]), found[2] is not None)

    @override
    def listing(self, path: str, models: Sequence[str]) -> HttpReply | None:
        if not path.endswith("/foundation-models"):
            return None
        rows: list[JSON] = [
            {
                "modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{name}",
                "modelId": name,
                "modelName": name,
                "inputModalities": ["TEXT"],
                "outputModalities": ["TEXT"],
                "responseStreamingSupported": True,
            }
            for name in models
        ]
        return HttpReply(body={"modelSummaries": rows})

    @override
    def words(self, reply: Reply, request: ReceivedRequest) -> Worded:
        asked = request.asked if isinstance(request.asked, _Asked) else self.asks(request.path, request.body)
        if not isinstance(asked, _Asked):
            return _identified(_error(400, "ValidationException", "messages: is no list"), request)
        key = (id(reply), asked, len(request.body))
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            # The reply is kept with it, so that no other can get its id.
            known = self._known[key] = (reply, self._worded(reply, asked, len(request.body)))
        worded = known[1]
        if isinstance(worded, HttpReply):
            return _identified(worded, request)
        pace = None if request.pace is None else request.pace.of(request.number)
        return replace(worded, request_id=request.id, pace=pace)

    @override
    def refusal(self, failure: Failure) -> HttpReply:
        status, kind = _REFUSALS.get(failure.reason, _SERVER)
        return _error(failure.status or status, kind, _sentence(failure), failure.retry_after)

    @override
    def error_event(self, failure: Failure) -> bytes:
        _, kind = _REFUSALS.get(failure.reason, _SERVER)
        return exception(kind[0].lower() + kind[1:], json.dumps({"message": _sentence(failure)}).encode())

    @override
    def spoiled(self, saying: Saying) -> Mapping[str, Saying]:
        return spoiled_converse(saying)

    def _worded(self, reply: Reply, asked: _Asked, size: int) -> Worded:
        if reply.failure is not None:
            return self.refusal(reply.failure)
        usage = told_usage(reply, size)
        return Saying(
            model=asked.model,
            usage=usage,
            content_type=CONTENT_TYPE if asked.stream else "application/json",
            request_id="",
            events=tuple(stream_events(reply, usage)) if asked.stream else (),
            body=b"" if asked.stream else whole_body(reply, usage),
            delay_s=reply.delay_s,
            cut=reply.cut_after is not None,
            id_header=_ID_HEADER,
        )


def _sentence(failure: Failure) -> str:
    return _SENTENCES.get(failure.reason, "") + (failure.message or f"scripted failure: {failure.reason}")


def _error(status: int, kind: str, message: str, retry_after: float | None = None) -> HttpReply:
    wait = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    told = {"x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"}
    return HttpReply(status, {"message": message}, {**told, **wait})


def _identified(refused: HttpReply, request: ReceivedRequest) -> HttpReply:
    return replace(refused, headers={**refused.headers, _ID_HEADER: request.id})
