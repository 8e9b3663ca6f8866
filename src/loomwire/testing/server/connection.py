"""One connection of the loopback server: HTTP/1.1 read by hand, replies played piece by piece."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from typing_extensions import override

from loomwire.testing.server.bodies import Body, RefusedError, body_of
from loomwire.testing.server.ending import reset
from loomwire.testing.server.traffic import Traffic
from loomwire.testing.wire import End, HttpReply, Piece, ReceivedRequest

Answering: TypeAlias = Callable[[ReceivedRequest], Iterable[Piece]]

_FRAMING = re.compile(rb"\r\n(content-length|transfer-encoding|connection|expect):[ \t]*([^\r\n]*)", re.IGNORECASE)
_START = re.compile(rb"([A-Z]+) ([^ ]+) HTTP/1\.([01])")
_MOST_HEAD: Final = 64 * 1024
_READ_AHEAD: Final = 1024 * 1024
_IN_A_ROW: Final = 64


@dataclass(frozen=True, slots=True)
class _Head:
    method: str
    path: str
    raw: bytes
    body: Body
    keeps: bool


@final
class Connection(asyncio.Protocol):
    """Reads requests one after the other and plays a reply to each before it looks at the next."""

    def __init__(self, traffic: Traffic, answer: Answering, origin: int = 1) -> None:
        """Wait for a connection."""
        self._traffic = traffic
        self._answer = answer
        self._origin = origin
        self._number = 0
        self._buffer = bytearray()
        self._head: _Head | None = None
        self._playing: asyncio.Task[None] | None = None
        self._request: ReceivedRequest | None = None
        self._writable = asyncio.Event()
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport if isinstance(transport, asyncio.Transport) else None
        self._writable.set()
        self._number = self._traffic.opened(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._writable.set()
        request, self._request = self._request, None
        if self._playing is not None:
            self._playing.cancel()
        if request is not None:
            self._traffic.ended(request, "abandoned")
        self._traffic.closed(self)

    @override
    def pause_writing(self) -> None:
        self._writable.clear()

    @override
    def resume_writing(self) -> None:
        self._writable.set()

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._playing is None:
            self._work()
        elif len(self._buffer) > _READ_AHEAD and self._transport is not None:
            self._transport.pause_reading()

    def abort(self) -> asyncio.Task[None] | None:
        """Break the connection; returns what still plays, already told to stop."""
        playing = self._playing
        if self._transport is not None:
            self._transport.abort()
        if playing is not None:
            playing.cancel()
        return playing

    def _work(self) -> None:
        transport = self._transport
        while self._playing is None and transport is not None and not transport.is_closing():
            try:
                request = self._next_request(transport)
            except RefusedError as refusal:
                self._buffer.clear()
                transport.write(
                    b"".join(piece for piece in HttpReply(refusal.status).whole() if isinstance(piece, bytes))
                )
                transport.close()
                return
            if request is None:
                return
            self._serve(request, transport)

    def _next_request(self, transport: asyncio.Transport) -> ReceivedRequest | None:
        if self._head is None:
            self._head = self._read_head(transport)
        head = self._head
        body = None if head is None else head.body.taken(self._buffer)
        if head is None or body is None:
            return None
        traffic = self._traffic
        traffic.received += 1
        place = (traffic.received, self._number, self._origin)
        request = ReceivedRequest(head.method, head.path, head.raw, body, place)
        traffic.came(request)
        return request

    def _read_head(self, transport: asyncio.Transport) -> _Head | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if self._buffer and not self._buffer[:1].isupper():
                # No method begins like this; a TLS handshake does, and its client would wait for ever.
                raise RefusedError(400)
            if len(self._buffer) > _MOST_HEAD:
                raise RefusedError(431)
            return None
        raw = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        start = _START.match(raw)
        if start is None:
            raise RefusedError(400)
        framing = {name.lower(): value.strip().lower() for name, value in _FRAMING.findall(raw)}
        body = body_of(framing)
        if framing.get(b"expect") == b"100-continue":
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        wishes = framing.get(b"connection", b"").replace(b" ", b"").split(b",")
        keeps = b"close" not in wishes if start[3] == b"1" else b"keep-alive" in wishes
        return _Head(start[1].decode(), start[2].decode("latin-1"), raw, body, keeps)

    def _serve(self, request: ReceivedRequest, transport: asyncio.Transport) -> None:
        try:
            pieces = self._answer(request)
        except Exception as error:  # noqa: BLE001 - a test's callable may raise anything; the server reports it at its end
            self._traffic.failures.append(error)
            pieces = (*HttpReply(500, {"error": {"message": "the test's reply failed"}}).whole(), End.CLOSE)
        keeps = self._head is None or self._head.keeps
        self._head = None
        self._request = request
        if type(pieces) is tuple and len(pieces) == 1 and isinstance(pieces[0], bytes):
            # What every ordinary reply is: no task, no wait.
            request.note_sent(pieces[0])
            transport.write(pieces[0])
            self._ended(transport, None, keeps=keeps)
        else:
            self._playing = asyncio.get_running_loop().create_task(self._play(pieces, transport, keeps=keeps))
            self._playing.add_done_callback(self._go_on)

    async def _play(self, pieces: Iterable[Piece], transport: asyncio.Transport, *, keeps: bool) -> None:
        end: End | None = None
        try:
            for count, piece in enumerate(pieces, 1):
                if isinstance(piece, End):
                    end = piece
                    break
                await self._do(piece, transport)
                if count % _IN_A_ROW == 0 or transport.is_closing():
                    # An endless reply to a fast reader never has to wait, and a lost connection is told by the loop.
                    await asyncio.sleep(0)
        except Exception as error:  # noqa: BLE001 - as in _serve
            self._traffic.failures.append(error)
            end = End.RESET
        self._ended(transport, end, keeps=keeps)

    async def _do(self, piece: bytes | float | asyncio.Event, transport: asyncio.Transport) -> None:
        if isinstance(piece, bytes):
            if self._request is not None:
                self._request.note_sent(piece)
            transport.write(piece)
            await self._writable.wait()
        elif isinstance(piece, asyncio.Event):
            await piece.wait()
        else:
            await asyncio.sleep(piece)

    def _go_on(self, _: asyncio.Task[None]) -> None:
        self._playing = None
        if self._transport is not None:
            self._transport.resume_reading()
        self._work()

    def _ended(self, transport: asyncio.Transport, end: End | None, *, keeps: bool) -> None:
        request, self._request = self._request, None
        if end is End.RESET:
            reset(transport)
        elif end is End.CLOSE or not keeps:
            transport.close()
        if request is not None:
            self._traffic.ended(request, "answered" if end is None else "broken")
