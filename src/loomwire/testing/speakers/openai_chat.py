"""How the loopback server says a reply in the wire dialect of OpenAI chat completions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, final

import msgspec
from typing_extensions import override

from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.speakers.openai_chat_body import PROMPT_FILTERED, deployment, stream_events, whole_body
from loomwire.testing.speakers.openai_chat_spoiled import CHANGES
from loomwire.testing.speakers.remembering import AskedModel, RememberingSpeaker, Wording, decoded
from loomwire.testing.speakers.telling import HTTP_STATUS, NUMBER, retry_header, sentence
from loomwire.testing.wire import HttpReply

_STATUS: Final = {**HTTP_STATUS, "quota_exhausted": 429}
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


class _Asked(AskedModel, frozen=True):
    tells_usage: bool
    azure: bool


_DECODER = msgspec.json.Decoder(_WireAsked)


@final
class ChatSpeaker(RememberingSpeaker[_Asked]):
    """Speaks OpenAI chat completions.

    Without usage in the reply, four bytes of the request and of the answer count as a token. As with OpenAI, a stream
    tells its usage only when `stream_options.include_usage` asks for it. Below `/openai/` it speaks as Azure does.
    Thinking with a signature comes as OpenRouter's `reasoning_details`: OpenAI's chat has no place for one.
    """

    __slots__ = ()

    def __init__(self) -> None:
        """Know nothing yet."""
        super().__init__(_Asked, CHANGES)

    @override
    def serves(self, path: str) -> bool:
        return path.endswith("/chat/completions")

    @override
    def asks(self, path: str, body: bytes) -> _Asked | None:
        asked = decoded(_DECODER, body)
        if asked is None:
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
    def worded(self, reply: Reply, asked: _Asked, usage: Usage) -> Wording:
        if asked.stream:
            return Wording("text/event-stream; charset=utf-8", events=_events(reply, asked, usage))
        return Wording("application/json", body=whole_body(reply, asked.model, usage))

    @override
    def misfit(self) -> HttpReply:
        return chat_error(400, "the body is no chat completion request")

    @override
    def refusal_in(self, failure: Failure, asked: _Asked) -> HttpReply:
        return _refused(failure, _AZURE_CODES if asked.azure else {})

    @override
    def refusal(self, failure: Failure) -> HttpReply:
        return _refused(failure, {})

    @override
    def error_event(self, failure: Failure) -> bytes:
        error = _error(_STATUS.get(failure.reason, 500), sentence(failure), _CODES.get(failure.reason))
        return b"data: %b\n\n" % json.dumps(error).encode()


def chat_error(status: int, message: str, *, code: str | None = None, retry_after: float | None = None) -> HttpReply:
    """Return an error as OpenAI words it.

    Args:
        status: The HTTP status.
        message: What a person reads.
        code: The machine's word, or None.
        retry_after: Seconds for the header `retry-after`, or None for no such header.
    """
    return HttpReply(status, _error(status, message, code), retry_header(retry_after))


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


def _error(status: int, message: str, code: str | None) -> JSON:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _refused(failure: Failure, other_codes: Mapping[str, str]) -> HttpReply:
    status = failure.status or _STATUS.get(failure.reason, 500)
    code = other_codes.get(failure.reason) or _CODES.get(failure.reason)
    return chat_error(status, sentence(failure), code=code, retry_after=failure.retry_after)


def _events(reply: Reply, asked: _Asked, usage: Usage) -> Iterator[bytes]:
    if asked.azure:
        yield PROMPT_FILTERED
    yield from stream_events(reply, asked.model, usage if asked.tells_usage else None)
