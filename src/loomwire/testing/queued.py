"""What a fake provider can be told to play."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias, final

from typing_extensions import override

from loomwire.infrastructure.providers.offline.reply import Reply
from loomwire.testing.speakers.table import speaker_for, speaker_of
from loomwire.testing.speaking import Saying
from loomwire.testing.wire import Pause, Piece, ReceivedRequest, WireReply

Playable: TypeAlias = str | Reply | WireReply
"""A text or a described reply, said in the server's dialect, or what a test writes for the wire itself."""

Queued: TypeAlias = Playable | Callable[[ReceivedRequest], Playable]
"""What a server can be told to play; a callable is asked with the request."""


@final
@dataclass(frozen=True, slots=True)
class After(WireReply):
    """A reply that waits first.

    Args:
        pause: Seconds, or an event of the server's loop.
        reply: What comes then.

    Example:
        >>> import asyncio
        >>> gate = asyncio.Event()
        >>> late = After(gate, "Now I may speak.")
    """

    pause: Pause
    reply: Playable

    @override
    def pieces(self, request: ReceivedRequest) -> Iterable[Piece]:
        return chain((self.pause,), wire_reply(self.reply).pieces(request))


@final
@dataclass(frozen=True, slots=True)
class _Spoken(WireReply):
    """A described reply in the dialect of the path that is asked; in OpenAI chat completions on any other path."""

    reply: Reply

    @override
    def pieces(self, request: ReceivedRequest) -> Iterable[Piece]:
        speaker = speaker_for(request.path, request.speakers) or speaker_of("openai_chat")
        worded = speaker.words(self.reply, request)
        if isinstance(worded, Saying):
            request.saying = worded
            return worded.pieces()
        wait = (self.reply.delay_s,) if self.reply.delay_s else ()
        return (*wait, *worded.pieces(request))


@final
class _Chosen(WireReply):
    """Asks a callable of the test."""

    def __init__(self, choose: Callable[[ReceivedRequest], Playable]) -> None:
        self._choose = choose

    @override
    def pieces(self, request: ReceivedRequest) -> Iterable[Piece]:
        return wire_reply(self._choose(request)).pieces(request)


def wire_reply(queued: Queued) -> WireReply:
    """Return what the wire plays for anything that can be queued.

    Raises:
        TypeError: It is nothing of the kind.
    """
    if isinstance(queued, str):
        return _Spoken(Reply(queued))
    if isinstance(queued, Reply):
        return _Spoken(queued)
    if callable(queued):
        return _Chosen(queued)
    if not hasattr(queued, "pieces"):
        raise TypeError(f"a {type(queued).__name__} is no reply; give a text, Reply, HttpReply, Fault or a callable")
    return queued
