"""How the loopback server says a reply in the wire dialect of Cohere's chat v2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

import msgspec
from typing_extensions import override

from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.speakers.cohere.body import failed_event, stream_events, whole_body
from loomwire.testing.speakers.cohere.spoiled import CHANGES
from loomwire.testing.speakers.remembering import AskedFields, AskedModel, RememberingSpeaker, Wording, decoded
from loomwire.testing.speakers.telling import HTTP_STATUS, retry_header, sentence
from loomwire.testing.wire import HttpReply

_ERROR_ID: Final = "00000000-0000-4000-8000-00000000e000"
# The one that was seen; for the others Cohere has a status and a sentence.
_TYPES: Final = {"context_length": "TOO_MANY_TOKENS"}


class _Asked(AskedModel, frozen=True):
    pass


_DECODER = msgspec.json.Decoder(AskedFields)


@final
class CohereSpeaker(RememberingSpeaker[_Asked]):
    """Speaks Cohere's chat v2.

    Without usage in the reply, four bytes of the request and of the answer count as a token, billed and used alike.
    """

    __slots__ = ()

    def __init__(self) -> None:
        """Know nothing yet."""
        super().__init__(_Asked, CHANGES)

    @override
    def serves(self, path: str) -> bool:
        return path.endswith("/chat") and not path.endswith("/api/chat")  # which is Ollama's

    @override
    def asks(self, path: str, body: bytes) -> _Asked | None:
        asked = decoded(_DECODER, body)
        return None if asked is None else _Asked(asked.model, bool(asked.stream))

    @override
    def listing(self, path: str, models: Sequence[str]) -> HttpReply | None:
        if not path.endswith("/models"):
            return None
        rows: list[JSON] = [
            {"name": name, "endpoints": ["chat"], "finetuned": False, "context_length": 128_000} for name in models
        ]
        return HttpReply(body={"models": rows})

    @override
    def worded(self, reply: Reply, asked: _Asked, usage: Usage) -> Wording:
        if asked.stream:
            return Wording("text/event-stream", events=stream_events(reply, usage))
        return Wording("application/json", body=whole_body(reply, usage))

    @override
    def misfit(self) -> HttpReply:
        return _error(400, "the body is no chat request")

    @override
    def refusal(self, failure: Failure) -> HttpReply:
        status = failure.status or HTTP_STATUS.get(failure.reason, 500)
        return _error(status, _sentence(failure), _TYPES.get(failure.reason), failure.retry_after)

    @override
    def error_event(self, failure: Failure) -> bytes:
        return failed_event(_sentence(failure), _TYPES.get(failure.reason))


def _sentence(failure: Failure) -> str:
    words = sentence(failure)
    return f"too many tokens: {words}" if failure.reason == "context_length" and not failure.message else words


def _error(status: int, message: str, kind: str | None = None, retry_after: float | None = None) -> HttpReply:
    body: dict[str, JSON] = {"id": _ERROR_ID, "message": message}
    return HttpReply(status, body if kind is None else {"error_type": kind, **body}, retry_header(retry_after))
