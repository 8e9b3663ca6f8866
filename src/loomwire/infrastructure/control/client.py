"""Asks the processes that listen beside a configured socket. Blocks; for tools outside of event loops."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loomwire.infrastructure.control.places import is_deserted, places, remove_stale
from loomwire.infrastructure.control.protocol import LONGEST_ANSWER, Answer, Question, read_answer

PATIENCE_S: Final = 10.0
"""Seconds for the answer of one process."""

_PIECE = 65_536


@dataclass(frozen=True, slots=True)
class Heard:
    """What processes said.

    Attributes:
        answers: What each of them said, also that it refuses.
        silent: The sockets of those that said nothing in time, or nothing of ours.
    """

    answers: tuple[Answer, ...] = ()
    silent: tuple[Path, ...] = ()


def ask_all(named: Path, question: Question, *, timeout_s: float = PATIENCE_S) -> Heard:
    """Ask every process that listens, one after the other. What dead processes left behind is removed.

    Args:
        named: The configured socket.
        question: What is asked.
        timeout_s: For each of them.
    """
    remove_stale(named)
    found = {path: ask(path, question, timeout_s=timeout_s) for path in places(named)}
    said = tuple(answer for answer in found.values() if answer is not None)
    silent = (path for path, answer in found.items() if answer is None)
    return Heard(said, tuple(path for path in silent if path.exists() and not is_deserted(path)))


def ask(path: Path, question: Question, *, timeout_s: float = PATIENCE_S) -> Answer | None:
    """Ask the process behind one socket; None when it does not answer, in time or in our words."""
    until = time.monotonic() + timeout_s
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as talking:
        talking.settimeout(timeout_s)
        try:
            talking.connect(os.fspath(path))
            # Who is one too many is told so and left at once, and can read why.
            with suppress(BrokenPipeError):
                talking.sendall(question.line())
            line = _line(talking, until)
        except OSError:
            return None
    return read_answer(line)


def _line(talking: socket.socket, until: float) -> bytes:
    said = bytearray()
    while not said.endswith(b"\n") and len(said) <= LONGEST_ANSWER:
        talking.settimeout(max(0.001, until - time.monotonic()))
        piece = talking.recv(_PIECE)
        if not piece:
            break
        said += piece
    return bytes(said)
