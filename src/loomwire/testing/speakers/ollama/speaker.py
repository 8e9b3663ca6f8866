"""How the loopback server says a reply in the wire dialect of Ollama's own chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, final

import msgspec
from typing_extensions import override

from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.speakers.ollama.body import error_line, stream_lines, whole_body
from loomwire.testing.speakers.ollama.spoiled import spoiled_chat
from loomwire.testing.speakers.openai_chat_body import told_usage
from loomwire.testing.speaking import Saying, Speaker, Worded
from loomwire.testing.wire import Asked, HttpReply, ReceivedRequest

_MOST_KNOWN: Final = 64
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


class _Asked(msgspec.Struct, frozen=True):
    model: str
    stream: bool = True


class _WireAsked(msgspec.Struct, frozen=True):
    model: str = "loopback"
    stream: bool | None = None


_DECODER = msgspec.json.Decoder(_WireAsked)


@final
class OllamaSpeaker(Speaker):
    """Speaks Ollama's chat. What it says is built once per kind of request; only the header's id is numbered.

    Without usage in the reply, four bytes of the request and of the answer count as a token. As with Ollama, an answer
    is streamed unless the request says `"stream": false`, and its pieces have no id.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        """Know nothing yet."""
        self._known: dict[tuple[int, _Asked, int], tuple[Reply, Worded]] = {}

    @override
    def serves(self, path: str) -> bool:
        return path.endswith("/api/chat")

    @override
    def asks(self, path: str, body: bytes) -> Asked | None:
        return _asked(body)

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
        if not isinstance(worded, Saying):
            return worded
        pace = None if request.pace is None else request.pace.of(request.number)
        return replace(worded, request_id=f"req-{request.number:012d}", pace=pace)

    @override
    def refusal(self, failure: Failure) -> HttpReply:
        status = failure.status or _STATUS.get(failure.reason, 500)
        return _error(status, _sentence(failure), failure.retry_after)

    @override
    def error_event(self, failure: Failure) -> bytes:
        return error_line(_sentence(failure))

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
            content_type="application/x-ndjson" if asked.stream else "application/json; charset=utf-8",
            request_id="",
            events=tuple(stream_lines(reply, asked.model, usage)) if asked.stream else (),
            body=b"" if asked.stream else whole_body(reply, asked.model, usage),
            delay_s=reply.delay_s,
            cut=reply.cut_after is not None,
        )


def _asked(body: bytes) -> _Asked | None:
    try:
        asked = _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return _Asked(asked.model, asked.stream is not False)


def _sentence(failure: Failure) -> str:
    if failure.message:
        return failure.message
    words = f"scripted failure: {failure.reason}"
    if failure.reason == "context_length":
        return f"prompt too long; exceeded max context length by 1 tokens ({words})"
    return words


def _error(status: int, message: str, retry_after: float | None = None) -> HttpReply:
    wait = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    return HttpReply(status, {"error": message}, wait)
