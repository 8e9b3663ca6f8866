"""Seat: a place at a stream that may have other readers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from typing_extensions import override

from loomwire.application.caching.flight import Flight
from loomwire.application.caching.flights import is_for_others
from loomwire.application.caching.pumping import Answered, Pump, Reader, bound_of, ends_too_soon, shared
from loomwire.application.caching.replay import ReplayedStream
from loomwire.application.caching.terms import Keeping
from loomwire.domain.ports.client import LLMStream
from loomwire.domain.requests import Bound


class Seat(AbstractAsyncContextManager[LLMStream]):
    """Takes part in the flight of a key, or begins one; leaving gives the part back.

    Entering waits until the stream has begun, or raises why it did not. When an equal plain call is on its way, its
    answer is awaited and played. A stream that has less than three quarters of this reader's time is not read along.

    Args:
        keeping: The flights, the tally and the clock.
        key: By which equal calls find each other.
        bound: When this reader's time is over.
        pump: Makes what reads the stream, when this reader has to begin it.
    """

    __slots__ = ("_bound", "_flight", "_keeping", "_key", "_pump", "_reader")

    def __init__(self, keeping: Keeping, key: Hashable, bound: Bound | None, pump: Callable[[], Pump]) -> None:
        """Take no part yet."""
        self._keeping = keeping
        self._key = key
        self._bound = bound
        self._pump = pump
        self._flight: Flight[Answered] | None = None
        self._reader: Reader | None = None

    @override
    async def __aenter__(self) -> LLMStream:
        until, clock = self._until, self._keeping.clock
        while True:
            pump = self._pump()
            flight, is_mine = self._keeping.flights.boarded(
                self._key, pump, until, lambda known: ends_too_soon(known, clock.now(), until)
            )
            self._flight = flight
            if is_mine:
                # When it has ended it can do so no more by itself.
                flight.task.add_done_callback(pump.stir)
            try:
                await _begun(flight)
                if is_mine or _is_open(flight) or not is_for_others(flight, until):
                    return self._stream(flight, is_mine=is_mine)
            except (Exception, asyncio.CancelledError):
                await self._leave()
                raise
            await self._leave()

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is not None:
            self._reader.leave()
        await self._leave()

    def _stream(self, flight: Flight[Answered], *, is_mine: bool) -> LLMStream:
        pump, tally = flight.work, self._keeping.tally
        if not isinstance(pump, Pump) or not pump.is_open:
            # A plain call, or a stream that never began.
            response = flight.result()
            tally.note("shared")
            return ReplayedStream(shared(response))
        if not is_mine:
            tally.note("shared")
        bound = bound_of(flight, self._bound)
        self._reader = Reader(flight, pump, bound=bound, clock=self._keeping.clock, is_mine=is_mine)
        return self._reader

    @property
    def _until(self) -> float:
        return math.inf if self._bound is None else self._bound.at

    async def _leave(self) -> None:
        flight, self._flight = self._flight, None
        if flight is not None and flight.left(late=self._keeping.clock.now() >= self._until):
            await flight.cancelled()


async def _begun(flight: Flight[Answered]) -> None:
    pump = flight.work
    if not isinstance(pump, Pump):
        await flight.landing()
        return
    while not pump.is_open and not flight.task.done():
        await pump.more()


def _is_open(flight: Flight[Answered]) -> bool:
    return isinstance(flight.work, Pump) and flight.work.is_open
