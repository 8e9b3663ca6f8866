"""What a loopback server plays on a socket: pieces of bytes and pauses, and the replies made of them."""

from __future__ import annotations

import asyncio
import json
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Final, Literal, Protocol, TypeAlias, final

from typing_extensions import override

from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON, FrozenDict
from loomwire.testing.pacing import Pace


class End(Enum):
    """How a reply leaves the connection; the last piece of a reply. Without one the connection is kept.

    Attributes:
        CLOSE: Send what is there, then close properly.
        RESET: Break the connection at once, as a crashing server or a firewall does.
    """

    CLOSE = "close"
    RESET = "reset"


Pause: TypeAlias = float | asyncio.Event
"""Seconds to wait, or an event to wait for; an event belongs to the server's loop."""

Piece: TypeAlias = bytes | Pause | End
"""Bytes to send, a wait, or the end of the connection."""

Outcome: TypeAlias = Literal["open", "answered", "abandoned", "broken"]

_STATUS_ENDS: Final = len("HTTP/1.1 200")
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


class Asked(Protocol):
    """What a speaker reads out of a request before anybody answers it."""

    @property
    @abstractmethod
    def model(self) -> str:
        """The model that is asked for."""

    @property
    @abstractmethod
    def stream(self) -> bool:
        """Whether the answer is to be streamed."""


class Said(Protocol):
    """What the books need to know of an answer that a model has produced."""

    @property
    @abstractmethod
    def model(self) -> str:
        """The model that answered."""

    @property
    @abstractmethod
    def usage(self) -> Usage:
        """What the whole answer took."""

    @property
    @abstractmethod
    def request_id(self) -> str:
        """What the header `x-request-id` says."""

    @abstractmethod
    def output_tokens_in(self, sent: int) -> int:
        """Return how many output tokens have left when so many bytes of the whole HTTP answer have."""


@final
class ReceivedRequest:
    """A request as the server received it, and what became of it. Headers and JSON are read when first asked for.

    The server fills in the lower half while it answers; times are `time.monotonic()`. Nothing of a header is in the
    `repr`, so that no key gets into a log.

    Attributes:
        method: The HTTP method.
        path: The path with its query.
        body: The body's bytes.
        number: Which request of the server it is, from 1.
        connection: On which connection it came, from 1.
        origin: To which of the server's two origins, 1 or 2.
        elsewhere: Base URL of the other one: where a redirect to another origin can point.
        pace: How fast the server speaks, or None for at once.
        asked: Model and streaming, or None when the request is none of a dialect.
        saying: What a model has produced for it; whoever sets it has the answer booked and billed.
        speakers: Speakers of further dialects that the server speaks, as `module:Class`.
        fault: Name of the fault that was played, or None.
        status: The first HTTP status sent, or None while there is none.
        sent: Bytes of the answer handed to the connection.
        outcome: `open`; `answered` to the end; `abandoned` by the client before that; `broken`, when the reply itself
            closed or reset the connection.
        billed: What the server's books hold for it, or None when nothing.
        received_at: When the last byte of the request was there.
        first_byte_at: When the first byte of the answer was sent, or None.
        ended_at: When the answer ended or was abandoned, or None.
    """

    __slots__ = (
        "_head",
        "_headers",
        "_start",
        "asked",
        "billed",
        "body",
        "connection",
        "elsewhere",
        "ended_at",
        "fault",
        "first_byte_at",
        "method",
        "number",
        "origin",
        "outcome",
        "pace",
        "path",
        "received_at",
        "saying",
        "sent",
        "speakers",
        "status",
    )

    def __init__(self, method: str, path: str, head: bytes, body: bytes, place: tuple[int, int, int]) -> None:
        """Keep the request's bytes; `place` is its number, its connection's and its origin's."""
        self.method = method
        self.path = path
        self.body = body
        self.number, self.connection, self.origin = place
        self.elsewhere = ""
        self.pace: Pace | None = None
        self.asked: Asked | None = None
        self.saying: Said | None = None
        self.speakers: tuple[str, ...] = ()
        self.fault: str | None = None
        self.status: int | None = None
        self.sent = 0
        self.outcome: Outcome = "open"
        self.billed: Usage | None = None
        self.received_at = time.monotonic()
        self.first_byte_at: float | None = None
        self.ended_at: float | None = None
        self._head = head
        self._headers: Mapping[str, str] | None = None
        self._start = b""

    @override
    def __repr__(self) -> str:
        status = f", status {self.status}" if self.status is not None else ""
        return f"ReceivedRequest({self.number}, {self.method} {self.path}, {len(self.body)} bytes{status})"

    @property
    def id(self) -> str:
        """What the header `x-request-id` of the answer says."""
        return f"req-{self.number:012d}" if self.saying is None else self.saying.request_id

    @property
    def model(self) -> str:
        """The model that is asked for; "" when the request is none of a dialect."""
        return "" if self.asked is None else self.asked.model

    @property
    def stream(self) -> bool:
        """Whether the answer is to be streamed."""
        return self.asked is not None and self.asked.stream

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, names in lower case, repeated ones joined by a comma."""
        if self._headers is None:
            headers: dict[str, str] = {}
            for line in self._head.decode("latin-1").split("\r\n")[1:]:
                name, _, value = line.partition(":")
                name, value = name.strip().lower(), value.strip()
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
            self._headers = FrozenDict(headers)
        return self._headers

    @property
    def json(self) -> JSON:
        """The body as JSON.

        Raises:
            ValueError: It is none.
        """
        value: JSON = json.loads(self.body)
        return value

    def note_sent(self, data: bytes) -> None:
        """Keep the books of bytes that are handed to the connection; the server calls it."""
        if self.first_byte_at is None and data:
            self.first_byte_at = time.monotonic()
        self.sent += len(data)
        if self.status is None and len(self._start) < _STATUS_ENDS:
            start = self._start = self._start + data[: _STATUS_ENDS - len(self._start)]
            if start.startswith(b"HTTP/1.") and start[9:].isdigit() and len(start) == _STATUS_ENDS:
                self.status = int(start[9:])


class WireReply(Protocol):
    """Anything a loopback server can be told to play; write your own for further misbehaviour."""

    @abstractmethod
    def pieces(self, request: ReceivedRequest) -> Iterable[Piece]:
        """Return what to do on the connection, in order. The iterable may be endless; it ends with the connection."""


@final
@dataclass(frozen=True, slots=True)
class HttpReply(WireReply):
    """An HTTP answer, whole or in chunks.

    Args:
        status: The HTTP status.
        body: Bytes, a text, or JSON. Ignored when there are chunks.
        headers: Further headers; they replace ours of the same name, so that `content-length` may lie.
        chunks: Pieces of a streamed body, each of the bytes an HTTP chunk of its own.
        end: How it leaves the connection. With chunks and an end, the last chunk that would finish the body is
            left out.

    Example:
        >>> busy = HttpReply(429, {"error": {"message": "slow down"}}, {"retry-after": "2"})
        >>> cut = HttpReply(chunks=[b'data: {"choices": []}'], end=End.CLOSE)
    """

    status: int = 200
    body: bytes | JSON = b""
    headers: Mapping[str, str] = FrozenDict()
    chunks: Iterable[Piece] | None = None
    end: End | None = None

    @override
    def pieces(self, request: ReceivedRequest) -> Iterable[Piece]:
        return self.whole(request.id)

    def whole(self, request_id: str | None = None) -> Iterable[Piece]:
        """Return the pieces, which are the same for every request but for its id."""
        ours = {} if request_id is None else {"x-request-id": request_id}
        if self.chunks is not None:
            return self._chunked(self.chunks, ours)
        body = self.body
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        if isinstance(body, str):
            body, kind = body.encode(errors="surrogatepass"), "text/plain; charset=utf-8"
        raw = body if isinstance(body, bytes) else json.dumps(body, default=dict).encode()
        whole = self._head({"content-type": kind, "content-length": str(len(raw)), **ours}) + raw
        return (whole,) if self.end is None else (whole, self.end)

    def _chunked(self, chunks: Iterable[Piece], ours: Mapping[str, str]) -> Iterator[Piece]:
        yield self._head({"content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked", **ours})
        for piece in chunks:
            yield http_chunk(piece) if isinstance(piece, bytes) else piece
        yield b"0\r\n\r\n" if self.end is None else self.end

    def _head(self, ours: Mapping[str, str]) -> bytes:
        theirs = {name.lower(): value for name, value in self.headers.items()}
        lines = [f"HTTP/1.1 {self.status} {_PHRASES.get(self.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in {**ours, **theirs}.items()]
        return "\r\n".join((*lines, "", "")).encode("latin-1")


@final
class RawReply(WireReply):
    r"""Pieces played as they are: you write the HTTP, right or wrong.

    Args:
        *pieces: Bytes, pauses and an end.

    Example:
        >>> half = RawReply(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", End.CLOSE)
    """

    def __init__(self, *pieces: Piece) -> None:
        """Keep the pieces."""
        self._pieces = pieces

    @override
    def pieces(self, request: ReceivedRequest) -> Iterable[Piece]:
        return self._pieces


def http_chunk(data: bytes) -> bytes:
    """Return bytes as one chunk of a chunked HTTP body; no bytes give none, because an empty chunk would end it."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
