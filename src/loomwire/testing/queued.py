"""What a loopback server can be told to play."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias, final

from typing_extensions import override

from loomwire.infrastructure.providers.offline.reply import Reply
from loomwire.testing.chat import ChatReply
from loomwire.testing.wire import LoopbackRequest, Pause, Piece, WireReply

Playable: TypeAlias = str | Reply | WireReply
"""A text or a described reply, said in the server's dialect, or what a test writes for the wire itself."""

Queued: TypeAlias = Playable | Callable[[LoopbackRequest], Playable]
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
    def pieces(self, request: LoopbackRequest) -> Iterable[Piece]:
        return (self.pause, *wire_reply(self.reply).pieces(request))


@final
class _Chosen(WireReply):
    """Asks a callable of the test."""

    def __init__(self, choose: Callable[[LoopbackRequest], Playable]) -> None:
        self._choose = choose

    @override
    def pieces(self, request: LoopbackRequest) -> Iterable[Piece]:
        return wire_reply(self._choose(request)).pieces(request)


def wire_reply(queued: Queued) -> WireReply:
    """Return what the wire plays for anything that can be queued."""
    if isinstance(queued, str):
        return ChatReply(Reply(queued))
    if isinstance(queued, Reply):
        return ChatReply(queued)
    return _Chosen(queued) if callable(queued) else queued
