"""The books of the loopback server: who is connected, what was asked, what became of it."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from loomwire.testing.wire import ReceivedRequest


@dataclass(frozen=True, slots=True)
class TrafficStats:
    """What a loopback server has seen so far.

    Attributes:
        connections: Connections accepted.
        open_connections: Those that are still open.
        requests: Requests read completely.
        answered: Replies played to their end.
        abandoned: Replies the client left before their end.
    """

    connections: int = 0
    open_connections: int = 0
    requests: int = 0
    answered: int = 0
    abandoned: int = 0


class Abortable(Protocol):
    """A connection, as the server's end needs to know it."""

    @abstractmethod
    def abort(self) -> asyncio.Task[None] | None:
        """Break the connection; returns what still plays, already told to stop."""


class Traffic:
    """The server's books, kept by its connections. Belongs to one loop."""

    def __init__(self, keep: int) -> None:
        """Start with nothing; remember the last `keep` requests."""
        self.connections: set[Abortable] = set()
        self.requests: deque[ReceivedRequest] = deque(maxlen=keep)
        self.failures: list[Exception] = []
        self.accepted = self.received = self.answered = self.abandoned = 0
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def stats(self) -> TrafficStats:
        """The books so far."""
        return TrafficStats(self.accepted, len(self.connections), self.received, self.answered, self.abandoned)

    def changed(self) -> None:
        """Wake everybody who waits for the books to change."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def change(self) -> None:
        """Wait until the books change."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)
