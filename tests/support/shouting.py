"""A dialect of nobody's: chat completions at another place, for a server that is told to speak it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from typing_extensions import override

from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.speakers.openai_chat import ChatSpeaker
from loomwire.testing.speaking import Saying, Speaker, Worded
from loomwire.testing.wire import Asked, HttpReply, ReceivedRequest

SHOUTING = "support.shouting:ShoutingSpeaker"


class ShoutingSpeaker(Speaker):
    """Says everything in capital letters."""

    def __init__(self) -> None:
        self._chat = ChatSpeaker()

    @override
    def serves(self, path: str) -> bool:
        return path.endswith("/shout")

    @override
    def asks(self, path: str, body: bytes) -> Asked | None:
        return self._chat.asks(path, body)

    @override
    def listing(self, path: str, models: Sequence[str]) -> HttpReply | None:
        return HttpReply(body={"loud": [*models]}) if path.endswith("/loud") else None

    @override
    def words(self, reply: Reply, request: ReceivedRequest) -> Worded:
        return self._chat.words(Reply(reply.text.upper(), failure=reply.failure), request)

    @override
    def refusal(self, failure: Failure) -> HttpReply:
        return HttpReply(418, "NO")

    @override
    def error_event(self, failure: Failure) -> bytes:
        return self._chat.error_event(failure)

    @override
    def spoiled(self, saying: Saying) -> Mapping[str, Saying]:
        return self._chat.spoiled(saying)
