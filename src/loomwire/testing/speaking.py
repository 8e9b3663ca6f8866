"""How a fake provider words its answers: one `Speaker` per wire dialect, and the `Saying` that faults spoil."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from loomwire.domain.pricing import Usage
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.pacing import Pace
from loomwire.testing.wire import Asked, End, HttpReply, Piece, ReceivedRequest, http_chunk

REFUSALS: Final = (
    "credentials",
    "quota_exhausted",
    "denied",
    "model",
    "gateway",
    "conflict",
    "request_too_large",
    "throttled",
    "unsupported",
    "server",
    "overloaded",
    "invalid_request",
    "context_length",
    "content_filter",
)
"""Reasons of the fault table that a server can give in an HTTP answer; every speaker has words for them."""

_CHUNKED: Final = "transfer-encoding: chunked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """A reply as a dialect words it for one request, before any of it is on the wire. Faults are changes of it.

    Attributes:
        model: The model the request asked for.
        usage: What the provider counts for the whole reply, whether or not the answer tells it.
        content_type: The header's value.
        request_id: What the header `id_header` says.
        events: A streamed answer as framed events, its terminal sign the last; empty for a plain answer.
        body: A plain answer; empty for a streamed one.
        delay_s: Seconds before the first byte.
        cut: The reply says that the connection breaks after what is here.
        pace: How fast it is said, or None for at once.
        id_header: The header that says the request's id.
    """

    model: str
    usage: Usage
    content_type: str
    request_id: str
    events: tuple[bytes, ...] = ()
    body: bytes = b""
    delay_s: float = 0.0
    cut: bool = False
    pace: Pace | None = None
    id_header: str = "x-request-id"

    @property
    def is_stream(self) -> bool:
        """Whether the answer is streamed."""
        return not self.body

    def head(self, *framing: str, status: str = "200 OK") -> bytes:
        """Return status line and headers, with framing such as `content-length: 3` last."""
        lines = (f"HTTP/1.1 {status}", f"content-type: {self.content_type}", f"{self.id_header}: {self.request_id}")
        return "\r\n".join((*lines, *framing, "", "")).encode("latin-1")

    def output_tokens_in(self, sent: int) -> int:
        """Return how many output tokens have left when so many bytes of the answer, head included, have.

        The share of the events' bytes, rounded up. A plain answer is produced before its first byte, so it counts as
        a whole.
        """
        if not self.is_stream:
            return self.usage.output_tokens
        whole = sum(len(http_chunk(event)) for event in self.events)
        left = min(max(sent - len(self.head(_CHUNKED)), 0), whole)
        return -(-self.usage.output_tokens * left // whole) if whole else 0

    def pieces(self) -> tuple[Piece, ...]:
        """Return the right way to say it: one piece where nothing has to be waited for."""
        wait: tuple[Piece, ...] = (self.delay_s,) if self.delay_s else ()
        end: tuple[Piece, ...] = (End.CLOSE,) if self.cut else ()
        if self.is_stream:
            return (*wait, *self._streamed(), *end)
        if self.pace is not None:
            wait = (*wait, self.pace.total_s(self.usage.output_tokens))
        body = self.body[: len(self.body) // 2] if self.cut else self.body
        return (*wait, self.head(f"content-length: {len(self.body)}") + body, *end)

    def _streamed(self) -> tuple[Piece, ...]:
        last = b"" if self.cut else b"0\r\n\r\n"
        chunks = map(http_chunk, self.events)
        if self.pace is None:
            return (self.head(_CHUNKED) + b"".join((*chunks, last)),)
        waits = self.pace.waits(len(self.events), self.usage.output_tokens)
        timed = [piece for pair in zip(waits, chunks, strict=True) for piece in pair if piece]
        return (self.head(_CHUNKED), *timed, last)


Worded: TypeAlias = Saying | HttpReply
"""What a speaker makes of a reply: an answer, or the HTTP error that a described failure is."""


class Speaker(Protocol):
    """Speaks one wire dialect as its servers do. Immutable; belongs to no loop."""

    __slots__ = ()

    @abstractmethod
    def serves(self, path: str) -> bool:
        """Tell whether a path, without its query, is one of the dialect's."""

    @abstractmethod
    def asks(self, path: str, body: bytes) -> Asked | None:
        """Return what a request asks for, or None when it is none of the dialect.

        Args:
            path: With its query; some dialects name the model there.
            body: Any bytes.
        """

    @abstractmethod
    def listing(self, path: str, models: Sequence[str]) -> HttpReply | None:
        """Return the dialect's list of models, or None when the path, without its query, does not ask for it."""

    @abstractmethod
    def words(self, reply: Reply, request: ReceivedRequest) -> Worded:
        """Return how a reply is said to a request: streamed if the request asks for it.

        A reply with a failure, or a request that is none of the dialect, gives the dialect's HTTP error.
        """

    @abstractmethod
    def refusal(self, failure: Failure) -> HttpReply:
        """Return an error as the dialect words it."""

    @abstractmethod
    def error_event(self, failure: Failure) -> bytes:
        """Return a framed event that reports an error inside a stream."""

    @abstractmethod
    def spoiled(self, saying: Saying) -> Mapping[str, Saying]:
        """Return the dialect's own ways to be wrong, by the fault's name: a choice that is missing, usage of -1."""
