"""How the loopback server says a reply in the wire dialect of OpenAI's Responses API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, final

import msgspec
from typing_extensions import override

from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.speakers.openai_chat import ChatSpeaker, chat_error
from loomwire.testing.speakers.openai_chat_body import NUMBER, told_usage
from loomwire.testing.speakers.openai_responses_body import Told, framed, response_events, whole_response
from loomwire.testing.speakers.openai_responses_spoiled import spoiled_response
from loomwire.testing.speaking import Saying, Speaker, Worded
from loomwire.testing.wire import Asked, HttpReply, ReceivedRequest

_MOST_KNOWN: Final = 64
_ENCRYPTED: Final = "reasoning.encrypted_content"


class _WireAsked(msgspec.Struct, frozen=True):
    model: str = "loopback"
    stream: bool | None = None
    include: tuple[str, ...] | None = None


class _Asked(msgspec.Struct, frozen=True):
    """What of a request decides the shape of the answer."""

    model: str
    stream: bool
    encrypted: bool


_MARK: Final = NUMBER.encode()
_DECODER = msgspec.json.Decoder(_WireAsked)


@final
class ResponsesSpeaker(Speaker):
    """Speaks the Responses API. What it says is built once per kind of request, afterwards only numbered.

    Without usage in the reply, four bytes of the request and of the answer count as a token. As with OpenAI, thinking
    has its signature, `encrypted_content`, only when `include` asks for it. Errors and lists are those of its chat API.
    """

    __slots__ = ("_chat", "_known")

    def __init__(self) -> None:
        """Know nothing yet."""
        self._chat = ChatSpeaker()
        self._known: dict[tuple[int, _Asked, int], tuple[Reply, Worded]] = {}

    @override
    def serves(self, path: str) -> bool:
        return path.endswith("/responses")

    @override
    def asks(self, path: str, body: bytes) -> Asked | None:
        try:
            asked = _DECODER.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return _Asked(asked.model, bool(asked.stream), _ENCRYPTED in (asked.include or ()))

    @override
    def listing(self, path: str, models: Sequence[str]) -> HttpReply | None:
        return self._chat.listing(path, models)

    @override
    def words(self, reply: Reply, request: ReceivedRequest) -> Worded:
        asked = request.asked if isinstance(request.asked, _Asked) else self.asks(request.path, request.body)
        if not isinstance(asked, _Asked):
            return chat_error(400, "the body is no request of the Responses API")
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
        return self._chat.refusal(failure)

    @override
    def error_event(self, failure: Failure) -> bytes:
        refused = self.refusal(failure).body
        error = refused["error"] if isinstance(refused, Mapping) else None
        return framed("error", {"type": "error", "sequence_number": 0, "error": error})

    @override
    def spoiled(self, saying: Saying) -> Mapping[str, Saying]:
        return spoiled_response(saying)

    def _worded(self, reply: Reply, asked: _Asked, size: int) -> Worded:
        if reply.failure is not None:
            return self.refusal(reply.failure)
        usage = told_usage(reply, size)
        streamed = asked.stream
        told = Told(asked.model, usage, encrypted=asked.encrypted)
        return Saying(
            model=asked.model,
            usage=usage,
            content_type="text/event-stream; charset=utf-8" if streamed else "application/json",
            request_id=f"req-{NUMBER}",
            events=tuple(response_events(reply, told)) if streamed else (),
            body=b"" if streamed else whole_response(reply, told),
            delay_s=reply.delay_s,
            cut=reply.cut_after is not None,
        )


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
