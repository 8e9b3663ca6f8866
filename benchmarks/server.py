"""The fixed opponent of every client: a loopback server that speaks just enough HTTP/1.1 and never changes.

A process of its own, so that its work is on nobody's bill. `python -m benchmarks.server [CORE]` prints its port and
ends when its standard input does. The first part of the path names the answer (`benchmarks.payloads.STREAMS`).
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys

from typing_extensions import override

from benchmarks.machine import pin
from benchmarks.payloads import ANSWER, INVOICE, ROUTES, STREAMS, WORDS, Json

_HEAD = (
    b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nServer: bench\r\nX-Request-Id: req_bench\r\n"
    b"OpenAI-Processing-Ms: 1\r\nX-RateLimit-Remaining-Requests: 9999\r\nCache-Control: no-cache\r\n"
)
_USAGE: Json = {"prompt_tokens": 17, "completion_tokens": 24, "total_tokens": 41}


def whole_answer(text: str) -> bytes:
    """Return a whole chat completion, head included."""
    choice: Json = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    said: Json = {
        "id": "chatcmpl-bench", "object": "chat.completion", "created": 1767225600, "model": "m",
        "choices": [choice], "usage": _USAGE,
    }  # fmt: skip
    data = json.dumps(said).encode()
    return _HEAD + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data) + data


def stream_pieces(count: int) -> list[bytes]:
    """Return a stream of `count` texts: head and first text, one piece per further text, and the end."""
    texts = [_event(choices=[_delta({"content": WORDS[number % 2]}, None)]) for number in range(count)]
    begin = _HEAD + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    begin += _event(choices=[_delta({"role": "assistant", "content": ""}, None)])
    end = _event(choices=[_delta({}, "stop")]) + _event(choices=[], usage=_USAGE) + _chunk(b"data: [DONE]\n\n")
    return [begin + texts[0], *texts[1:-1], texts[-1] + end + b"0\r\n\r\n"]


def _delta(delta: Json, finish: str | None) -> Json:
    return {"index": 0, "delta": delta, "finish_reason": finish}


def _event(**fields: Json) -> bytes:
    said = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1767225600, "model": "m", **fields}
    return _chunk(b"data: " + json.dumps(said, separators=(",", ":")).encode() + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


WHOLE = {route: whole_answer(json.dumps(INVOICE) if route == "invoice" else ANSWER) for route in ROUTES}
PIECES = {route: stream_pieces(count) for route, (count, _) in STREAMS.items()}
AT_ONCE = {route: b"".join(PIECES[route]) for route, (_, pause) in STREAMS.items() if not pause}


class Exchange(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"\r\ncontent-length:")
        length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < end + 4 + length:
            return
        body, self._buffer = self._buffer[end + 4 : end + 4 + length], self._buffer[end + 4 + length :]
        self._answer(head.split(b" ", 2)[1].split(b"/", 2)[1].decode(), body)

    def _answer(self, route: str, body: bytes) -> None:
        if self._transport is None:
            return
        if b'"stream":true' not in body and b'"stream": true' not in body:
            self._transport.write(WHOLE[route])
        elif route in AT_ONCE:
            self._transport.write(AT_ONCE[route])
        else:
            self._send(route, 0)

    def _send(self, route: str, number: int) -> None:
        pieces = PIECES[route]
        if self._transport is None or self._transport.is_closing():
            return
        if route == "first" and number:
            # Only the first event is measured; the rest follows in one piece after a pause that shows who buffers.
            self._transport.write(b"".join(pieces[number:]))
            return
        self._transport.write(pieces[number])
        if number + 1 < len(pieces):
            asyncio.get_running_loop().call_later(STREAMS[route][1], self._send, route, number + 1)


async def serve() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Exchange, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    gc.freeze()
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    pin(int(sys.argv[1]) if len(sys.argv) > 1 else None)
    asyncio.run(serve())
