"""What a loopback server plays on a socket: pieces of bytes and pauses, and the replies made of them."""

from __future__ import annotations

import asyncio
import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Protocol, TypeAlias, final

from typing_extensions import override

from loomwire.domain.values import JSON, FrozenDict


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


@final
class ReceivedRequest:
    """A request as the server received it. Headers and JSON are read when they are first asked for.

    Attributes:
        method: The HTTP method.
        path: The path with its query.
        body: The body's bytes.
        number: Which request of the server it is, from 1.
        connection: On which connection it came, from 1.
    """

    __slots__ = ("_head", "_headers", "body", "connection", "method", "number", "path")

    def __init__(self, method: str, path: str, head: bytes, body: bytes, place: tuple[int, int]) -> None:
        """Keep the request's bytes; `place` is its number and its connection's."""
        self.method = method
        self.path = path
        self.body = body
        self.number, self.connection = place
        self._head = head
        self._headers: Mapping[str, str] | None = None

    @override
    def __repr__(self) -> str:
        return f"ReceivedRequest({self.number}, {self.method} {self.path}, {len(self.body)} bytes)"

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
        return self.whole()

    def whole(self) -> Iterable[Piece]:
        """Return the pieces, which are the same for every request."""
        if self.chunks is not None:
            return self._chunked(self.chunks)
        body = self.body
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        if isinstance(body, str):
            body, kind = body.encode(errors="surrogatepass"), "text/plain; charset=utf-8"
        raw = body if isinstance(body, bytes) else json.dumps(body, default=dict).encode()
        whole = self._head({"content-type": kind, "content-length": str(len(raw))}) + raw
        return (whole,) if self.end is None else (whole, self.end)

    def _chunked(self, chunks: Iterable[Piece]) -> Iterator[Piece]:
        yield self._head({"content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked"})
        for piece in chunks:
            yield http_chunk(piece) if isinstance(piece, bytes) else piece
        yield b"0\r\n\r\n" if self.end is None else self.end

    def _head(self, ours: Mapping[str, str]) -> bytes:
        theirs = {name.lower(): value for name, value in self.headers.items()}
        known = {status.value: status.phrase for status in HTTPStatus}
        lines = [f"HTTP/1.1 {self.status} {known.get(self.status, 'Unknown')}"]
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
