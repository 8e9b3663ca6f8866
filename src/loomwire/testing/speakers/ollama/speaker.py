"""How the loopback server says a reply in the wire dialect of Ollama's own chat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import msgspec
from typing_extensions import override

from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.speakers.ollama.body import error_line, stream_lines, whole_body
from loomwire.testing.speakers.ollama.spoiled import CHANGES
from loomwire.testing.speakers.remembering import AskedFields, AskedModel, RememberingSpeaker, Wording, decoded
from loomwire.testing.speakers.telling import HTTP_STATUS, retry_header, sentence
from loomwire.testing.wire import HttpReply


class _Asked(AskedModel, frozen=True):
    pass


_DECODER = msgspec.json.Decoder(AskedFields)


@final
class OllamaSpeaker(RememberingSpeaker[_Asked]):
    """Speaks Ollama's chat.

    Without usage in the reply, four bytes of the request and of the answer count as a token. As with Ollama, an answer
    is streamed unless the request says `"stream": false`, and its pieces have no id.
    """

    __slots__ = ()

    def __init__(self) -> None:
        """Know nothing yet."""
        super().__init__(_Asked, CHANGES)

    @override
    def serves(self, path: str) -> bool:
        return path.endswith("/api/chat")

    @override
    def asks(self, path: str, body: bytes) -> _Asked | None:
        asked = decoded(_DECODER, body)
        return None if asked is None else _Asked(asked.model, asked.stream is not False)

    @override
    def listing(self, path: str, models: Sequence[str]) -> HttpReply | None:
        if not path.endswith("/api/tags"):
            return None
        details: JSON = {"format": "gguf", "family": "llama", "parameter_size": "8.0B", "quantization_level": "Q4_K_M"}
        rows: list[JSON] = [
            {
                "name": name,
                "model": name,
                "modified_at": "2026-01-01T00:00:00Z",
                "size": 4_000_000_000,
                "digest": "0" * 64,
                "details": details,
            }
            for name in models
        ]
        return HttpReply(body={"models": rows})

    @override
    def worded(self, reply: Reply, asked: _Asked, usage: Usage) -> Wording:
        if asked.stream:
            return Wording("application/x-ndjson", events=stream_lines(reply, asked.model, usage))
        return Wording("application/json; charset=utf-8", body=whole_body(reply, asked.model, usage))

    @override
    def misfit(self) -> HttpReply:
        return _error(400, "the body is no chat request")

    @override
    def refusal(self, failure: Failure) -> HttpReply:
        status = failure.status or HTTP_STATUS.get(failure.reason, 500)
        return _error(status, _sentence(failure), failure.retry_after)

    @override
    def error_event(self, failure: Failure) -> bytes:
        return error_line(_sentence(failure))


def _sentence(failure: Failure) -> str:
    words = sentence(failure)
    if failure.reason == "context_length" and not failure.message:
        return f"prompt too long; exceeded max context length by 1 tokens ({words})"
    return words


def _error(status: int, message: str, retry_after: float | None = None) -> HttpReply:
    return HttpReply(status, {"error": message}, retry_header(retry_after))
