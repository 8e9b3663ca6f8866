"""What a fault is: how it is called, what it does in one sentence, where it strikes, and how it is played."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from loomwire.infrastructure.providers.offline.reply import Reply
from loomwire.testing.speaking import Saying, Speaker
from loomwire.testing.wire import Piece, ReceivedRequest

Strikes: TypeAlias = Literal["nowhere", "connecting", "headers", "body", "content"]
"""What a fault spoils: nothing, opening the connection, the answer's head, how its body is sent, or what it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything a fault may make use of when it is played.

    Attributes:
        request: What the client asked.
        speaker: Words the answer; knows the dialect's own ways to be wrong.
        saying: The right answer, which the fault spoils.
        status: The HTTP status that the test chose, or None.
        retry_after: The value of the header `retry-after`, or None for no such header.
    """

    request: ReceivedRequest
    speaker: Speaker
    saying: Saying
    status: int | None = None
    retry_after: str | None = None


Play: TypeAlias = Callable[[Scene], Iterable[Piece]]
"""Returns what to do on the connection."""

Retell: TypeAlias = Callable[[Reply], Reply]
"""Returns what the model says instead, for a fault that hides in the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultType:
    """One way to be wrong.

    Attributes:
        name: How scripts call it; a promise.
        says: What it does, in one sentence.
        strikes: Where.
        play: What it does to one answer; None for a fault of the whole server or of the network, see `setup`.
        setup: How a fault without `play` is brought about.
        retell: Changes what the model says.
        stream_only: Only streamed answers can be wrong like this; a plain one is said as ever.
        plain_only: Only plain answers can; a stream is said as ever.
        ran: The model had run, so that a provider would bill what it said.
        takes_status: A status may be chosen.
    """

    name: str
    says: str
    strikes: Strikes
    play: Play | None = None
    setup: str = ""
    retell: Retell | None = None
    stream_only: bool = False
    plain_only: bool = False
    ran: bool = True
    takes_status: bool = False

    def spoils(self, *, stream: bool) -> bool:
        """Tell whether an answer, streamed or plain, can be wrong like this."""
        return not (self.plain_only if stream else self.stream_only)
