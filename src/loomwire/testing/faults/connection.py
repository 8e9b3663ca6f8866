"""Faults before there is an answer, and answers that come late or in their own time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final

from loomwire.infrastructure.providers.offline.reply import Failure
from loomwire.testing.faults.kinds import FaultType, Scene
from loomwire.testing.wire import End, HttpReply, Piece

_SLOW_S: Final = 0.3
_DRIP_S: Final = 0.1
_NO_BODY: Final = frozenset({204, 304})


def hung() -> asyncio.Event:
    """Return a pause without an end."""
    return asyncio.Event()


def framing_of(scene: Scene) -> str:
    """Return the header that frames the right answer's body."""
    saying = scene.saying
    return "transfer-encoding: chunked" if saying.is_stream else f"content-length: {len(saying.body)}"


def _ok(scene: Scene) -> Iterable[Piece]:
    return scene.saying.pieces()


def _slow_ok(scene: Scene) -> Iterable[Piece]:
    return (_SLOW_S, *scene.saying.pieces())


def _hang(_: Scene) -> Iterable[Piece]:
    return (hung(),)


def _hang_after_headers(scene: Scene) -> Iterable[Piece]:
    return (scene.saying.head(framing_of(scene)), hung())


def _reset(_: Scene) -> Iterable[Piece]:
    return (End.RESET,)


def _close_early(_: Scene) -> Iterable[Piece]:
    return (End.CLOSE,)


def _slow_loris(scene: Scene) -> Iterator[Piece]:
    said = b"".join(piece for piece in scene.saying.pieces() if isinstance(piece, bytes))
    for place in range(len(said)):
        yield said[place : place + 1]
        yield _DRIP_S


def _status(scene: Scene) -> Iterable[Piece]:
    status = 503 if scene.status is None else scene.status
    wait = {} if scene.retry_after is None else {"retry-after": scene.retry_after}
    if status < 200 or status in _NO_BODY:
        lines = [f"{name}: {value}" for name, value in wait.items()]
        return ("\r\n".join((f"HTTP/1.1 {status} Fault", *lines, "", "")).encode("latin-1"),)
    words = scene.speaker.refusal(Failure("server", f"the fake provider answers with status {status}", status))
    # What Bedrock says in this header outranks the status, which is what the fault is about.
    headers = {name: value for name, value in words.headers.items() if name != "x-amzn-errortype"}
    return HttpReply(status, words.body, {**headers, **wait}).whole()


def _echo(scene: Scene) -> Iterable[Piece]:
    request = scene.request
    quoted = f"cannot {request.method} {request.path} {dict(request.headers)} {request.body.decode('utf-8', 'replace')}"
    return scene.speaker.refusal(Failure("server", quoted, 500)).whole()


def _redirect(scene: Scene) -> Iterable[Piece]:
    target = scene.request.elsewhere.removesuffix("/v1") + scene.request.path
    return HttpReply(307 if scene.status is None else scene.status, b"", {"location": target}).whole()


CONNECTION: Final = (
    FaultType(name="ok", says="The right answer.", strikes="nowhere", play=_ok),
    FaultType(name="slow_ok", says="The right answer, after 0.3 s of silence.", strikes="nowhere", play=_slow_ok),
    FaultType(
        name="hang", says="The server reads the request and says nothing.", strikes="headers", play=_hang, ran=False
    ),
    FaultType(
        name="hang_after_headers",
        says="The headers come, and then nothing.",
        strikes="body",
        play=_hang_after_headers,
    ),
    FaultType(
        name="reset",
        says="The connection breaks (RST) before the headers, as a crashing server or a firewall breaks it.",
        strikes="headers",
        play=_reset,
        ran=False,
    ),
    FaultType(
        name="close_early",
        says="The server closes the connection (FIN) before the headers.",
        strikes="headers",
        play=_close_early,
        ran=False,
    ),
    FaultType(
        name="slow_loris",
        says="The answer comes one byte in 0.1 s, so that no pause is ever long.",
        strikes="headers",
        play=_slow_loris,
    ),
    FaultType(
        name="status",
        says="Any HTTP status (503 unless chosen) with any Retry-After.",
        strikes="headers",
        play=_status,
        ran=False,
        takes_status=True,
    ),
    FaultType(
        name="echo",
        says="Status 500, and a message that quotes the whole request, key and prompt included.",
        strikes="headers",
        play=_echo,
        ran=False,
    ),
    FaultType(
        name="redirect",
        says="The server sends the client to another origin (307 unless chosen), which would get the key.",
        strikes="headers",
        play=_redirect,
        ran=False,
        takes_status=True,
    ),
)
"""Rows of the fault table."""
