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

from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.speakers.bedrock.body import stream_events, whole_body
from loomwire.testing.speakers.bedrock.frames import CONTENT_TYPE, exception
from loomwire.testing.speakers.bedrock.spoiled import CHANGES
from loomwire.testing.speakers.remembering import AskedModel, RememberingSpeaker, Wording, decoded
from loomwire.testing.speakers.telling import retry_header, sentence
from loomwire.testing.wire import HttpReply, ReceivedRequest

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


class _Asked(AskedModel, frozen=True):
    pass


class _WireAsked(msgspec.Struct, frozen=True):
    messages: list[msgspec.Raw]


_DECODER = msgspec.json.Decoder(_WireAsked)


@final
class ConverseSpeaker(RememberingSpeaker[_Asked]):
    """Speaks Converse. What it says has no id but in a header.

    Without usage in the reply, four bytes of the request and of the answer count as a token. It checks no signature.
    """

    __slots__ = ()

    def __init__(self) -> None:
        """Know nothing yet."""
        super().__init__(_Asked, CHANGES, id_header=_ID_HEADER)

    @override
    def serves(self, path: str) -> bool:
        return _PATH.search(path) is not None

    @override
    def asks(self, path: str, body: bytes) -> _Asked | None:
        found = _PATH.search(path.partition("?")[0])
        return (
            None
            if found is None or decoded(_DECODER, body) is None
            else _Asked(unquote(found[1]), found[2] is not None)
        )

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
    def worded(self, reply: Reply, asked: _Asked, usage: Usage) -> Wording:
        if asked.stream:
            return Wording(CONTENT_TYPE, events=stream_events(reply, usage))
        return Wording("application/json", body=whole_body(reply, usage))

    @override
    def misfit(self) -> HttpReply:
        return _error(400, "ValidationException", "messages: is no list")

    @override
    def identified(self, refused: HttpReply, request: ReceivedRequest) -> HttpReply:
        return replace(refused, headers={**refused.headers, _ID_HEADER: request.id})

    @override
    def refusal(self, failure: Failure) -> HttpReply:
        status, kind = _REFUSALS.get(failure.reason, _SERVER)
        return _error(failure.status or status, kind, _sentence(failure), failure.retry_after)

    @override
    def error_event(self, failure: Failure) -> bytes:
        _, kind = _REFUSALS.get(failure.reason, _SERVER)
        return exception(kind[0].lower() + kind[1:], json.dumps({"message": _sentence(failure)}).encode())


def _sentence(failure: Failure) -> str:
    return _SENTENCES.get(failure.reason, "") + sentence(failure)


def _error(status: int, kind: str, message: str, retry_after: float | None = None) -> HttpReply:
    told = {"x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"}
    return HttpReply(status, {"message": message}, {**told, **retry_header(retry_after)})
