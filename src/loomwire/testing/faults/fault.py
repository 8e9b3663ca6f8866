"""A reply that is wrong in one named way, for any dialect."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from difflib import get_close_matches
from itertools import chain
from typing import Final, final

from typing_extensions import override

from loomwire.domain.errors import LLMValidationError
from loomwire.domain.pricing import NO_USAGE
from loomwire.infrastructure.providers.offline.reply import Reply
from loomwire.testing.faults.kinds import FaultType, Scene
from loomwire.testing.faults.table import FAULTS
from loomwire.testing.speakers.table import speaker_for, speaker_of
from loomwire.testing.speaking import Saying, Speaker
from loomwire.testing.wire import Piece, ReceivedRequest, WireReply

_SOMETHING: Final = Saying(
    model="", usage=NO_USAGE, content_type="application/json", request_id="req-fault", body=b'{"object": "fault"}'
)


@final
class Fault(WireReply):
    """Plays one fault of `FAULTS`: an answer in the dialect of the path that is asked, spoiled in the named way.

    Where the fault cannot happen to an answer (one of streams to a plain answer, for example), the answer is right.
    A request that is none of the dialect gets the dialect's own error, unless the fault strikes before any words.
    What is sent wrongly is sent at once, whatever the provider's pace. Immutable; one may be played often.

    Args:
        name: The fault's name.
        reply: What the model says; a text or a described reply.
        status: The HTTP status, for faults that take one (`status`, `redirect`).
        retry_after: The header of that name, for `status`: any text, or seconds, also such as NaN, -1 and 1e308.

    Attributes:
        type: The fault's row of the table.
        status: As given.
        retry_after: The header's value, or None.

    Raises:
        LLMValidationError: There is no such fault, it is none of a reply, or it takes no status.
        TypeError: `reply` is none.

    Example:
        >>> Fault("status", status=429, retry_after=2)
        Fault('status', status=429, retry_after='2')
    """

    def __init__(
        self,
        name: str,
        reply: str | Reply = "This answer was meant to be right.",
        *,
        status: int | None = None,
        retry_after: str | float | None = None,
    ) -> None:
        """Look the fault up and keep what is to be said."""
        self.type = _looked_up(name)
        _check(self.type, status, retry_after)
        asked = Reply(reply) if isinstance(reply, str) else reply
        if not hasattr(asked, "text"):
            raise TypeError(
                f"a fault spoils a text or a Reply, not {type(asked).__name__}; a status is given as `status=429`"
            )
        self._reply = asked if self.type.retell is None else self.type.retell(asked)
        self.status = status
        self.retry_after = f"{retry_after:g}" if isinstance(retry_after, int | float) else retry_after

    @override
    def __repr__(self) -> str:
        more = "".join(
            f", {key}={value!r}"
            for key, value in (("status", self.status), ("retry_after", self.retry_after))
            if value is not None
        )
        return f"Fault({self.type.name!r}{more})"

    def about(self, reply: Reply) -> Fault:
        """Return the same fault of another reply."""
        return Fault(self.type.name, reply, status=self.status, retry_after=self.retry_after)

    @property
    def said(self) -> str:
        """The text that a client returns if it gets the right answer out of it; half characters are U+FFFD."""
        return self._reply.text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    @override
    def pieces(self, request: ReceivedRequest) -> Iterable[Piece]:
        speaker = speaker_for(request.path, request.speakers) or speaker_of("openai_chat")
        worded = speaker.words(self._reply, request)
        if isinstance(worded, Saying):
            return self._spoiled(worded, speaker, request, ran=self.type.ran)
        if self.type.strikes in ("nowhere", "content"):
            return worded.whole()
        return self._spoiled(_SOMETHING, speaker, request, ran=False)

    def _spoiled(self, saying: Saying, speaker: Speaker, request: ReceivedRequest, *, ran: bool) -> Iterable[Piece]:
        kind = self.type
        if ran:
            request.saying = saying
        if kind.play is None or not kind.spoils(stream=saying.is_stream):
            return saying.pieces()
        request.fault = kind.name
        played = kind.play(
            Scene(
                request=request,
                speaker=speaker,
                saying=replace(saying, delay_s=0.0),
                status=self.status,
                retry_after=self.retry_after,
            )
        )
        return chain((saying.delay_s,), played) if saying.delay_s else played


def _check(kind: FaultType, status: int | None, retry_after: str | float | None) -> None:
    if status is not None and not (kind.takes_status and 100 <= status <= 999):
        raise LLMValidationError(
            f"the fault {kind.name} takes no status {status}", hint="Only `status` and `redirect` take one, 100 to 999."
        )
    if retry_after is not None and kind.name != "status":
        raise LLMValidationError(f"the fault {kind.name} takes no retry_after", hint="Only `status` takes one.")


def _looked_up(name: str) -> FaultType:
    found = FAULTS.get(name)
    if found is None:
        near = [known for known in FAULTS if set(known.split("_")) == set(name.split("_"))]
        near = near or get_close_matches(name, FAULTS, 1)
        raise LLMValidationError(
            f"there is no fault {name[:60]!r}",
            hint=f"Did you mean {near[0]!r}?" if near else "`loomwire.testing.FAULTS` lists them.",
        )
    if found.play is None:
        raise LLMValidationError(f"the fault {name} is none of a reply", hint=found.setup)
    return found
