"""Faults of HTTP itself: heads that no parser should trust."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from loomwire.testing.faults.connection import framing_of
from loomwire.testing.faults.kinds import FaultType, Scene
from loomwire.testing.wire import End, Piece, http_chunk

_FLOOD: Final = 1000
_MANY: Final = 10_000
_BLOCK: Final = 64 * 1024


def _whole(scene: Scene) -> bytes:
    saying = scene.saying
    return b"".join(saying.events) if saying.is_stream else saying.body


def _right(scene: Scene) -> bytes:
    return b"".join(piece for piece in scene.saying.pieces() if isinstance(piece, bytes))


def _length_and_chunks(scene: Scene) -> Iterable[Piece]:
    body = _whole(scene)
    head = scene.saying.head(f"content-length: {len(body)}", "transfer-encoding: chunked")
    return (head + http_chunk(body) + b"0\r\n\r\n", End.CLOSE)


def _negative_length(scene: Scene) -> Iterable[Piece]:
    return (scene.saying.head("content-length: -1") + _whole(scene), End.CLOSE)


def _two_lengths(scene: Scene) -> Iterable[Piece]:
    body = _whole(scene)
    head = scene.saying.head(f"content-length: {len(body)}", f"content-length: {len(body) // 2}")
    return (head + body, End.CLOSE)


def _short_length(scene: Scene) -> Iterable[Piece]:
    body = _whole(scene)
    return (scene.saying.head(f"content-length: {len(body) // 2}") + body, End.CLOSE)


def _body_in_204(scene: Scene) -> Iterable[Piece]:
    body = _whole(scene)
    return (scene.saying.head(f"content-length: {len(body)}", status="204 No Content") + body,)


def _interim_flood(scene: Scene) -> Iterable[Piece]:
    return (b"HTTP/1.1 103 Early Hints\r\n\r\n" * _FLOOD, _right(scene))


def _trailer(scene: Scene) -> Iterable[Piece]:
    head = scene.saying.head("trailer: x-request-id, content-type", "transfer-encoding: chunked")
    return (head + http_chunk(_whole(scene)) + b"0\r\nx-request-id: of-a-trailer\r\ncontent-type: text/html\r\n\r\n",)


def _many_headers(scene: Scene) -> Iterable[Piece]:
    lines = [f"x-{number}: {number}" for number in range(_MANY)]
    return (scene.saying.head(*lines, f"content-length: {len(_whole(scene))}") + _whole(scene),)


def _endless_header(scene: Scene) -> Iterator[Piece]:
    yield scene.saying.head(framing_of(scene))[:-2] + b"x-endless: "
    while True:
        yield b"x" * _BLOCK


def _extra_answer(scene: Scene) -> Iterable[Piece]:
    right = _right(scene)
    return (right + right.replace(scene.saying.request_id.encode(), b"of-nobodys-request"),)


HEADS: Final = (
    FaultType(
        name="length_and_chunks",
        says="Content-Length and Transfer-Encoding at once, the way responses are smuggled.",
        strikes="headers",
        play=_length_and_chunks,
    ),
    FaultType(name="negative_length", says="A Content-Length of -1.", strikes="headers", play=_negative_length),
    FaultType(name="two_lengths", says="Two Content-Lengths that differ.", strikes="headers", play=_two_lengths),
    FaultType(
        name="short_length",
        says="A Content-Length of half the body, all of which comes.",
        strikes="headers",
        play=_short_length,
    ),
    FaultType(
        name="body_in_204",
        says="Status 204, which has no body, and the right answer as its body.",
        strikes="headers",
        play=_body_in_204,
    ),
    FaultType(
        name="interim_flood",
        says="A thousand interim answers (103) before the right one.",
        strikes="headers",
        play=_interim_flood,
    ),
    FaultType(
        name="trailer",
        says="The right answer with trailers that contradict its headers.",
        strikes="body",
        play=_trailer,
    ),
    FaultType(name="many_headers", says="Ten thousand headers.", strikes="headers", play=_many_headers),
    FaultType(name="endless_header", says="A header line that never ends.", strikes="headers", play=_endless_header),
    FaultType(
        name="extra_answer",
        says="The right answer, and behind it on the same connection a second one that nobody asked for.",
        strikes="body",
        play=_extra_answer,
    ),
)
"""Rows of the fault table."""
