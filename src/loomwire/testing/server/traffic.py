"""The log of the fake provider: who is connected, what was asked, what became of it."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from loomwire.testing.server.books import BookKeeper
from loomwire.testing.wire import Outcome, ReceivedRequest


@dataclass(frozen=True, slots=True)
class TrafficStats:
    """What a fake provider has seen so far.

    Attributes:
        connections: Connections accepted.
        open_connections: Those that are still open.
        requests: Requests read completely.
        answered: Replies played to their end, those that break the connection there included.
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
    """The server's log, kept by its connections. Belongs to one loop.

    Attributes:
        is_over: The server has stopped, and breaks whatever connection is still made.
    """

    def __init__(self, keep: int) -> None:
        """Start with nothing; remember the last `keep` requests."""
        self.is_over = False
        self.connections: set[Abortable] = set()
        self.requests: deque[ReceivedRequest] = deque(maxlen=keep)
        self.failures: list[Exception] = []
        self.keeper = BookKeeper()
        self.faults: Counter[str] = Counter()
        self.listeners: list[Callable[[ReceivedRequest], None]] = []
        self.accepted = self.received = self.answered = self.abandoned = 0
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def stats(self) -> TrafficStats:
        """The counts so far."""
        return TrafficStats(self.accepted, len(self.connections), self.received, self.answered, self.abandoned)

    def opened(self, connection: Abortable) -> int:
        """Note a new connection and return its number."""
        self.accepted += 1
        self.connections.add(connection)
        self.changed()
        if self.is_over:
            connection.abort()
        return self.accepted

    def closed(self, connection: Abortable) -> None:
        """Note that a connection is gone."""
        self.connections.discard(connection)
        self.changed()

    def came(self, request: ReceivedRequest) -> None:
        """Note a request that was read completely."""
        self.requests.append(request)
        self.changed()

    def ended(self, request: ReceivedRequest, outcome: Outcome) -> None:
        """Note what became of a request, book it, and tell the listeners."""
        request.outcome = outcome
        request.ended_at = time.monotonic()
        if outcome == "abandoned":
            self.abandoned += 1
        else:
            self.answered += 1
        if request.fault is not None:
            self.faults[request.fault] += 1
        self.keeper.note(request)
        for listener in self.listeners:
            listener(request)
        self.changed()

    def changed(self) -> None:
        """Wake everybody who waits for the log to change."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def change(self) -> None:
        """Wait until the log changes."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)
