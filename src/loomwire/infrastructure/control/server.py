"""ControlServer: answers questions at a socket, a few at a time, and waits for nobody."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

from loomwire.domain.errors import LLMTemporaryError, LLMValidationError, LoomError
from loomwire.domain.values import JSON
from loomwire.infrastructure.control.listening import stop_listening
from loomwire.infrastructure.control.protocol import LONGEST_QUESTION, Answer, Question, own_answer, read_question

Work: TypeAlias = Callable[[Question], Awaitable[Mapping[str, JSON]]]
"""Does what a question asks and returns what is to be told; raises a `LoomError` to refuse."""

PATIENCE_S: Final = 5.0
"""Seconds for a client to send its next question, and to take an answer."""

AT_ONCE: Final = 8
"""Clients that are served at the same time."""

_log = logging.getLogger("loomwire.control")


class ControlServer:
    """Serves a listening unix socket until its task is cancelled.

    Every line is one question and gets one line as its answer. Whoever sends too much, nothing, or takes nothing is
    left; whoever comes when there are too many is told so.

    Args:
        listening: Listens, and does not block; closed at the end.
        work: Does what is asked.
        patience_s: How long a client may take.
        at_once: How many clients there may be.

    Attributes:
        began: Set once it serves.
    """

    def __init__(
        self, listening: socket.socket, work: Work, *, patience_s: float = PATIENCE_S, at_once: int = AT_ONCE
    ) -> None:
        """Serve nobody yet."""
        self._listening = listening
        self._work = work
        self._patience_s = patience_s
        self._at_once = at_once
        self._talks: set[asyncio.Task[None]] = set()
        self.began = threading.Event()

    async def run(self) -> None:
        """Serve until cancelled."""
        server = await asyncio.start_unix_server(
            self._met, sock=self._listening, limit=LONGEST_QUESTION, start_serving=False
        )
        try:
            await server.start_serving()  # it pauses after it listens, so it may be cancelled
            self.began.set()
            # Not serve_forever: it waits for clients to leave.
            await asyncio.get_running_loop().create_future()
        finally:
            # Who is met from now on is turned away.
            self._at_once = 0
            talks = tuple(self._talks)
            for talk in talks:
                talk.cancel()
            await stop_listening(server)
            await asyncio.gather(*talks, return_exceptions=True)

    def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._talks) >= self._at_once:
            writer.write(own_answer(error=LLMTemporaryError("too many ask at once", hint="Ask again.")).line())
            writer.close()
            return
        talk = asyncio.get_running_loop().create_task(self._talk(reader, writer))
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)
        # A task that is cancelled before its first step closes nothing.
        talk.add_done_callback(lambda _: writer.close())

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (line := await self._line(reader)) is not None:
                writer.write((await self._answered(line)).line())
                async with asyncio.timeout(self._patience_s):
                    await writer.drain()
        except asyncio.LimitOverrunError:
            too_long = LLMValidationError(f"a question has at most {LONGEST_QUESTION} bytes")
            writer.write(own_answer(error=too_long).line())
        except (TimeoutError, OSError):
            # Who takes nothing would keep what was not taken.
            writer.transport.abort()
        finally:
            writer.close()

    async def _line(self, reader: asyncio.StreamReader) -> bytes | None:
        try:
            async with asyncio.timeout(self._patience_s):
                return await reader.readuntil()
        except asyncio.IncompleteReadError:
            return None

    async def _answered(self, line: bytes) -> Answer:
        try:
            return own_answer(said=await self._work(read_question(line)))
        except LoomError as error:
            return own_answer(error=error)
        except Exception as error:  # noqa: BLE001  # who asks is told, and the next question is answered all the same
            _log.warning("a question at the control socket raised %s", type(error).__name__)
            return own_answer(error=LoomError(f"internal error: {type(error).__name__}", reason="internal"))
