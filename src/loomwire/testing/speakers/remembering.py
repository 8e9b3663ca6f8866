"""What the speakers of chat dialects share: words built once per kind of request, afterwards only numbered."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec
from typing_extensions import override

from loomwire.domain.pricing import Usage
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.speakers.spoiling import Change
from loomwire.testing.speakers.telling import NUMBER, told_usage
from loomwire.testing.speaking import Saying, Speaker, Worded
from loomwire.testing.wire import HttpReply, ReceivedRequest

_MARK: Final = NUMBER.encode()
_MOST_KNOWN: Final = 64


class AskedFields(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a body that most dialects have in common.

    Attributes:
        model: The model that is asked for.
        stream: Whether the answer is to be streamed; None where nobody said.
    """

    model: str = "loopback"
    stream: bool | None = None


class AskedModel(msgspec.Struct, frozen=True):
    """What of a request decides the shape of the answer. Each dialect has a type of its own, and may ask for more.

    Attributes:
        model: The model that is asked for.
        stream: Whether the answer is to be streamed.
    """

    model: str
    stream: bool


class Wording(NamedTuple):
    """How a dialect says a reply.

    Attributes:
        content_type: The header's value.
        events: A streamed answer, framed.
        body: A plain answer.
    """

    content_type: str
    events: Iterable[bytes] = ()
    body: bytes = b""


class _Known(NamedTuple):
    # The reply is kept with its words, so that no other can get its id.
    reply: Reply
    worded: Worded
    marked: int


_AskedT = TypeVar("_AskedT", bound=AskedModel)
_T = TypeVar("_T")


class RememberingSpeaker(Speaker, Generic[_AskedT]):
    """Words a reply once per kind of request and remembers it; what is said again is only numbered and paced.

    Remembering changes nothing that can be seen; threads that share a speaker at worst build the same words twice.

    Args:
        kind: The dialect's own type of what a request asks for.
        changes: The dialect's ways to be wrong, by the fault's name.
        id_header: The header that says the request's id.
    """

    __slots__ = ("_changes", "_id_header", "_kind", "_known")

    def __init__(self, kind: type[_AskedT], changes: Mapping[str, Change], *, id_header: str = "x-request-id") -> None:
        """Know nothing yet."""
        self._kind = kind
        self._changes = changes
        self._id_header = id_header
        self._known: dict[tuple[int, _AskedT, int], _Known] = {}

    @abstractmethod
    @override
    def asks(self, path: str, body: bytes) -> _AskedT | None: ...

    @abstractmethod
    def worded(self, reply: Reply, asked: _AskedT, usage: Usage) -> Wording:
        """Return how a reply without a failure is said; `NUMBER` stands where the request's number belongs."""

    @abstractmethod
    def misfit(self) -> HttpReply:
        """Return the error for a request that is none of the dialect."""

    def refusal_in(self, failure: Failure, asked: _AskedT) -> HttpReply:  # noqa: ARG002
        """Return the error to a request of a kind; here it is that to any."""
        return self.refusal(failure)

    def identified(self, refused: HttpReply, request: ReceivedRequest) -> HttpReply:  # noqa: ARG002
        """Return an error that names the request, where the dialect's errors do; here they do not."""
        return refused

    @override
    def words(self, reply: Reply, request: ReceivedRequest) -> Worded:
        asked = request.asked if isinstance(request.asked, self._kind) else self.asks(request.path, request.body)
        if asked is None:
            return self.identified(self.misfit(), request)
        size = len(request.body)
        key = (id(reply), asked, size)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            worded = self._built(reply, asked, size)
            known = self._known[key] = _Known(reply, worded, _marked(worded))
        if isinstance(known.worded, Saying):
            return _numbered(known.worded, known.marked, request)
        return self.identified(known.worded, request)

    @override
    def spoiled(self, saying: Saying) -> Mapping[str, Saying]:
        return {name: change(saying) for name, change in self._changes.items()}

    def _built(self, reply: Reply, asked: _AskedT, size: int) -> Worded:
        if reply.failure is not None:
            return self.refusal_in(reply.failure, asked)
        usage = told_usage(reply, size)
        wording = self.worded(reply, asked, usage)
        return Saying(
            model=asked.model,
            usage=usage,
            content_type=wording.content_type,
            request_id=f"req-{NUMBER}",
            events=tuple(wording.events),
            body=wording.body,
            delay_s=reply.delay_s,
            cut=reply.cut_after is not None,
            id_header=self._id_header,
        )


def decoded(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T | None:
    """Return a body as a decoder reads it, or None when it is something else."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _marked(worded: Worded) -> int:
    """How many events, counted from the first, have to be looked through for the number."""
    events = worded.events if isinstance(worded, Saying) else ()
    return next((count for count in range(len(events), 0, -1) if _MARK in events[count - 1]), 0)


def _numbered(saying: Saying, marked: int, request: ReceivedRequest) -> Saying:
    number = request.number
    told = b"%012d" % number
    events = saying.events
    if marked:
        events = (*[event.replace(_MARK, told) for event in events[:marked]], *events[marked:])
    return replace(
        saying,
        request_id=f"req-{number:012d}",
        events=events,
        body=saying.body.replace(_MARK, told),
        pace=None if request.pace is None else request.pace.of(number),
    )
