"""Faults of how a body is sent: cut short, standing still, without an end, wrongly packed."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final

from loomwire.testing.faults.connection import framing_of, hung
from loomwire.testing.faults.kinds import FaultType, Scene
from loomwire.testing.wire import End, Piece, http_chunk

_DELIVERED_S: Final = 0.02
_BLOCK: Final = 64 * 1024
_BOMB_BLOCKS: Final = 1024
_MIB: Final = 1024 * 1024


def first_half(scene: Scene) -> tuple[bytes, ...]:
    """Return the pieces of the first half of the body: events of a stream, or half of a plain body's bytes."""
    saying = scene.saying
    if saying.is_stream:
        return saying.events[: max(1, len(saying.events) // 2)]
    return (saying.body[: len(saying.body) // 2],)


def _begun(scene: Scene) -> bytes:
    half = first_half(scene)
    sent = b"".join(map(http_chunk, half)) if scene.saying.is_stream else half[0]
    return scene.saying.head(framing_of(scene)) + sent


def _half_body(scene: Scene) -> Iterable[Piece]:
    saying = scene.saying
    body = b"".join(saying.events) if saying.is_stream else saying.body
    return (saying.head(f"content-length: {len(body)}") + body[: len(body) // 2], End.CLOSE)


def _cut_clean(scene: Scene) -> Iterable[Piece]:
    saying, half = scene.saying, first_half(scene)
    if saying.is_stream:
        return (_begun(scene) + b"0\r\n\r\n",)
    return (saying.head(f"content-length: {len(half[0])}") + half[0],)


def _cut_close(scene: Scene) -> Iterable[Piece]:
    # Without a length only the end of the connection ends the body, so HTTP itself cannot tell that half is missing.
    return (scene.saying.head("connection: close") + b"".join(first_half(scene)), End.CLOSE)


def _cut_reset(scene: Scene) -> Iterable[Piece]:
    return (_begun(scene), _DELIVERED_S, End.RESET)


def _stall(scene: Scene) -> Iterable[Piece]:
    return (_begun(scene), hung())


def _byte_split(scene: Scene) -> Iterator[Piece]:
    saying = scene.saying
    body = b"".join(saying.events) if saying.is_stream else saying.body
    yield saying.head("transfer-encoding: chunked")
    for place in range(len(body)):
        yield http_chunk(body[place : place + 1])
        yield 0.0
    yield b"0\r\n\r\n"


def _empty(scene: Scene) -> Iterable[Piece]:
    if scene.saying.is_stream:
        return (scene.saying.head("transfer-encoding: chunked") + b"0\r\n\r\n",)
    return (scene.saying.head("content-length: 0"),)


def _endless_body(scene: Scene) -> Iterator[Piece]:
    saying = scene.saying
    if saying.is_stream:
        again = saying.events[len(saying.events) // 2]
        block = again * (_BLOCK // len(again) + 1)
        begin = b"".join(saying.events[:1])
    else:
        # A text that goes on: what came so far is right, and a reader that waits for its end waits for ever.
        block, begin = b"more " * (_BLOCK // 5), b'{"choices": [{"message": {"content": "'
    yield saying.head("transfer-encoding: chunked") + http_chunk(begin)
    while True:
        yield http_chunk(block)


def _endless_line(scene: Scene) -> Iterator[Piece]:
    saying = scene.saying
    half = first_half(scene)
    yield saying.head("transfer-encoding: chunked") + b"".join(map(http_chunk, half))
    yield http_chunk(b'data: {"choices": [{"delta": {"content": "')
    while True:
        yield http_chunk(b"x" * _BLOCK)


def _gzip_bomb(scene: Scene) -> Iterator[Piece]:
    saying = scene.saying
    begin, block = _bomb()
    yield saying.head("content-encoding: gzip", "transfer-encoding: chunked") + http_chunk(begin)
    for _ in range(_BOMB_BLOCKS):
        yield http_chunk(block)
    yield b"0\r\n\r\n"


@cache
def _bomb() -> tuple[bytes, bytes]:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    spaces = b" " * _MIB
    begin = packer.compress(spaces) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush a block knows nothing of what came before, so it can be sent as often as one likes.
    return begin, packer.compress(spaces) + packer.flush(zlib.Z_FULL_FLUSH)


def _packed(*codings: str) -> Iterator[str]:
    yield f"content-encoding: {', '.join(codings)}"


def _coded(scene: Scene, *codings: str) -> Iterable[Piece]:
    saying = scene.saying
    body = b"".join(saying.events) if saying.is_stream else saying.body
    # Nobody can unpack it; what stands there is not what the header says.
    return (saying.head(*_packed(*codings), f"content-length: {len(body)}") + body,)


def _brotli(scene: Scene) -> Iterable[Piece]:
    return _coded(scene, "br")


def _zstd(scene: Scene) -> Iterable[Piece]:
    return _coded(scene, "zstd")


def _gzip_cut(scene: Scene) -> Iterable[Piece]:
    saying = scene.saying
    packed = gzip.compress(b"".join(saying.events) if saying.is_stream else saying.body, mtime=0)
    half = packed[: len(packed) // 2]
    return (saying.head(*_packed("gzip"), f"content-length: {len(half)}") + half,)


def _bad_chunk(scene: Scene) -> Iterable[Piece]:
    saying = scene.saying
    first, *rest = first_half(scene)
    right = saying.head("transfer-encoding: chunked") + http_chunk(first)
    return (right + b"".join(b"-1\r\n%b\r\n" % each for each in rest or (first,)), End.CLOSE)


def _no_last_chunk(scene: Scene) -> Iterable[Piece]:
    saying = scene.saying
    chunks = saying.events if saying.is_stream else (saying.body,)
    return (saying.head("transfer-encoding: chunked") + b"".join(map(http_chunk, chunks)), End.CLOSE)


def _five_codings(scene: Scene) -> Iterable[Piece]:
    saying = scene.saying
    body = b"".join(saying.events) if saying.is_stream else saying.body
    for _ in range(5):
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        body = packer.compress(body) + packer.flush()
    return (saying.head(*_packed(*["gzip"] * 5), f"content-length: {len(body)}") + body,)


BODY: Final = (
    FaultType(
        name="half_body",
        says="The body ends at half of its announced length, and the connection closes.",
        strikes="body",
        play=_half_body,
    ),
    FaultType(
        name="cut_clean",
        says="Half of the answer comes and ends properly as HTTP: no finish reason, no terminal sign.",
        strikes="body",
        play=_cut_clean,
    ),
    FaultType(
        name="cut_close",
        says="Half of the answer comes without a length, and the connection closes.",
        strikes="body",
        play=_cut_close,
    ),
    FaultType(
        name="cut_reset", says="Half of the answer comes, and the connection breaks.", strikes="body", play=_cut_reset
    ),
    FaultType(name="stall", says="Half of the answer comes, and then nothing.", strikes="body", play=_stall),
    FaultType(
        name="byte_split", says="The right answer, every byte a chunk of its own.", strikes="body", play=_byte_split
    ),
    FaultType(name="empty", says="Status 200 and a body without a byte.", strikes="body", play=_empty),
    FaultType(
        name="endless_body", says="The answer goes on and on and never ends.", strikes="body", play=_endless_body
    ),
    FaultType(
        name="endless_line",
        says="In the middle of a stream a line begins that never ends.",
        strikes="body",
        play=_endless_line,
        stream_only=True,
    ),
    FaultType(
        name="gzip_bomb", says="One megabyte of gzip that unpacks to a gigabyte.", strikes="body", play=_gzip_bomb
    ),
    FaultType(
        name="brotli", says="The body claims to be brotli, which nobody asked for.", strikes="body", play=_brotli
    ),
    FaultType(name="zstd", says="The body claims to be zstd, which nobody asked for.", strikes="body", play=_zstd),
    FaultType(name="gzip_cut", says="The body is packed, and ends half-way.", strikes="body", play=_gzip_cut),
    FaultType(
        name="bad_chunk",
        says="After a right chunk of the body one follows whose size is -1.",
        strikes="body",
        play=_bad_chunk,
    ),
    FaultType(
        name="no_last_chunk",
        says="The whole answer comes in chunks, and the connection closes without the chunk that ends them.",
        strikes="body",
        play=_no_last_chunk,
    ),
    FaultType(name="five_codings", says="The body is packed five times over.", strikes="body", play=_five_codings),
)
"""Rows of the fault table."""
