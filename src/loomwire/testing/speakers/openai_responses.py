"""How the loopback server says a reply in the wire dialect of OpenAI's Responses API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, final

import msgspec
from typing_extensions import override

from loomwire.domain.pricing import Usage
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.speakers.openai_chat import ChatSpeaker, chat_error
from loomwire.testing.speakers.openai_responses_body import Told, framed, response_events, whole_response
from loomwire.testing.speakers.openai_responses_spoiled import CHANGES
from loomwire.testing.speakers.remembering import AskedFields, AskedModel, RememberingSpeaker, Wording, decoded
from loomwire.testing.wire import HttpReply

_ENCRYPTED: Final = "reasoning.encrypted_content"


class _WireAsked(AskedFields, frozen=True, kw_only=True):
    include: tuple[str, ...] | None = None


class _Asked(AskedModel, frozen=True):
    encrypted: bool


_DECODER = msgspec.json.Decoder(_WireAsked)


@final
class ResponsesSpeaker(RememberingSpeaker[_Asked]):
    """Speaks the Responses API.

    Without usage in the reply, four bytes of the request and of the answer count as a token. As with OpenAI, thinking
    has its signature, `encrypted_content`, only when `include` asks for it. Errors and lists are those of its chat API.
    """

    __slots__ = ("_chat",)

    def __init__(self) -> None:
        """Know nothing yet."""
        super().__init__(_Asked, CHANGES)
        self._chat = ChatSpeaker()

    @override
    def serves(self, path: str) -> bool:
        return path.endswith("/responses")

    @override
    def asks(self, path: str, body: bytes) -> _Asked | None:
        asked = decoded(_DECODER, body)
        return None if asked is None else _Asked(asked.model, bool(asked.stream), _ENCRYPTED in (asked.include or ()))

    @override
    def listing(self, path: str, models: Sequence[str]) -> HttpReply | None:
        return self._chat.listing(path, models)

    @override
    def worded(self, reply: Reply, asked: _Asked, usage: Usage) -> Wording:
        told = Told(asked.model, usage, encrypted=asked.encrypted)
        if asked.stream:
            return Wording("text/event-stream; charset=utf-8", events=response_events(reply, told))
        return Wording("application/json", body=whole_response(reply, told))

    @override
    def misfit(self) -> HttpReply:
        return chat_error(400, "the body is no request of the Responses API")

    @override
    def refusal(self, failure: Failure) -> HttpReply:
        return self._chat.refusal(failure)

    @override
    def error_event(self, failure: Failure) -> bytes:
        refused = self.refusal(failure).body
        error = refused["error"] if isinstance(refused, Mapping) else None
        return framed("error", {"type": "error", "sequence_number": 0, "error": error})
