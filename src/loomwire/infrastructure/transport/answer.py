"""One answer: its bytes decompressed, counted and timed, and its connection given back or closed exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping

import httpx
from typing_extensions import override

from loomwire.domain.errors import LLMError, llm_error
from loomwire.domain.policies import WireLimits
from loomwire.domain.ports.pool import WireAnswer
from loomwire.infrastructure.transport.decoding import Decoder
from loomwire.infrastructure.transport.engine import ResponseBody
from loomwire.infrastructure.transport.failures import Failed, Place
from loomwire.infrastructure.transport.waiting import Alarm

_NO_PIECES: Iterator[bytes] = iter(())
_closing: set[asyncio.Task[None]] = set()


class HTTPAnswer(WireAnswer):
    """An answer behind the httpx seam. Belongs to one task at a time.

    Args:
        response: What the transport returned; its body is unread.
        limits: What may be read of it.
        alarm: Ends the waits; its timer is cleared with the answer.
        place: For errors.

    Attributes:
        alarm: Guards each wait for more bytes.
        decoder: Undoes the content codings; None when there are none.
        pieces: What is decompressed already.
        source: The bytes as they come over the wire.
    """

    __slots__ = ("_headers", "_limits", "_place", "_status", "_stream", "alarm", "decoder", "pieces", "source")

    def __init__(self, response: httpx.Response, limits: WireLimits, alarm: Alarm, place: Place) -> None:
        """Look at the headers.

        Raises:
            Failed: They are too large, or name content codings that are not understood. From status 300 on, reading
                the body raises it instead, because the status says what matters.
        """
        self._status = response.status_code
        self._limits = limits
        self.alarm = alarm
        self._place = place
        self._headers, unfit = _joined(response.headers.raw, limits.headers)
        self.decoder: Decoder | None = None
        try:
            self.decoder = _decoder(self._headers, limits)
        except Failed as error:
            unfit = unfit or error
        if unfit is not None and self._status < 300:
            raise unfit
        stream = response.stream
        if not isinstance(stream, httpx.AsyncByteStream):
            raise TypeError("the transport returned a body that is not async")
        self._stream = stream
        self.source = aiter(stream) if unfit is None else _Unreadable(unfit)
        self.pieces = _NO_PIECES

    @property
    @override
    def status(self) -> int:
        return self._status

    @property
    @override
    def headers(self) -> Mapping[str, str]:
        return self._headers

    @override
    async def read(self) -> bytes:
        broken = self._status >= 300
        cap = self._limits.error_body if broken else self._limits.body
        if not broken and self.decoder is None and self._declared() > cap:
            raise self.refused("the answer", cap, "limits.body")
        pieces: list[bytes] = []
        left = cap
        async for piece in _Pieces(self):
            left -= len(piece)
            if left < 0 and not broken:
                raise self.refused("the answer", cap, "limits.body")
            pieces.append(piece if left >= 0 else piece[:left])
            if left < 0:
                break
        self.close()
        return b"".join(pieces)

    @override
    def chunks(self) -> AsyncIterator[bytes]:
        return _Pieces(self, self._limits.stream)

    @override
    def close(self) -> None:
        self.alarm.stop()
        self.pieces = _NO_PIECES
        close_body(self._stream)

    def refused(self, what: str, cap: int, limit: str) -> LLMError:
        """Close the answer and return the error for one that is larger than `limit` allows; not raised."""
        self.close()
        endpoint = self._place.endpoint
        message = f"{endpoint}: {what} is larger than {cap} bytes ({limit})"
        return llm_error("too_large", message, endpoint=endpoint, status=self._status, phase="body")

    def failed(self, error: BaseException) -> BaseException:
        """Close the answer and return what to raise instead of `error`; not raised."""
        cause = self.alarm.caught(error)
        self.close()
        return (self._place.fault(cause, "body") if isinstance(cause, Exception) else None) or cause

    def ended(self) -> BaseException:
        """Return what to raise at the body's end: StopAsyncIteration, or the error for one that came too early."""
        try:
            self.alarm.end()
            if self.decoder is not None:
                self.decoder.finish()
        except Failed as error:
            return self.failed(error)
        self.alarm.stop()
        return StopAsyncIteration()

    def _declared(self) -> int:
        length = self._headers.get("content-length", "")
        return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else 0


class _Pieces(AsyncIterator[bytes]):
    """The decompressed body as it comes. One coroutine per piece, because a stream pays for each on every chunk."""

    __slots__ = ("_answer", "_cap", "_left")

    def __init__(self, answer: HTTPAnswer, cap: int | None = None) -> None:
        self._answer = answer
        self._cap = cap
        self._left = cap or 0

    @override
    async def __anext__(self) -> bytes:
        answer = self._answer
        alarm = answer.alarm
        decoder = answer.decoder
        try:
            piece = next(answer.pieces, b"")
            while not piece:
                alarm.begin()
                piece = await answer.source.__anext__()
                alarm.end()
                if decoder is not None:
                    answer.pieces = decoder.feed(piece)
                    piece = next(answer.pieces, b"")
        except StopAsyncIteration:
            cause = answer.ended()
        except BaseException as error:  # noqa: BLE001 - raised again below, outside the handler, so without a context
            cause = answer.failed(error)
        else:
            if self._cap is not None:
                self._count(len(piece), self._cap)
            return piece
        raise cause

    def _count(self, size: int, cap: int) -> None:
        self._left -= size
        if self._left < 0:
            raise self._answer.refused("the stream", cap, "limits.stream")


class _Unreadable(AsyncIterator[bytes]):
    """Stands for a body that cannot be read."""

    __slots__ = ("_why",)

    def __init__(self, why: Failed) -> None:
        self._why = why

    @override
    async def __anext__(self) -> bytes:
        raise self._why


def close_body(stream: httpx.AsyncByteStream) -> None:
    """Close a response body without waiting; a foreign one that needs to wait is closed by a task of its own."""
    if isinstance(stream, ResponseBody | httpx.SyncByteStream):
        stream.close()
        return
    task = asyncio.get_running_loop().create_task(stream.aclose())
    _closing.add(task)
    task.add_done_callback(_closing.discard)


def _joined(raw: list[tuple[bytes, bytes]], cap: int) -> tuple[dict[str, str], Failed | None]:
    """Return the headers that fit into `cap` bytes, and the fault when those are not all."""
    size = 0
    joined: dict[str, str] = {}
    for name, value in raw:
        size += len(name) + len(value) + 4
        if size > cap:
            return joined, Failed("too_large", f"the response headers are larger than {cap} bytes (limits.headers)")
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        joined[key] = f"{joined[key]}, {text}" if key in joined else text
    return joined, None


def _decoder(headers: Mapping[str, str], limits: WireLimits) -> Decoder | None:
    codings = headers.get("content-encoding")
    return Decoder([part.strip().lower() for part in codings.split(",")], limits) if codings else None
