"""A stream that several read: one task reads it, and every reader gets all of it at a pace of his own."""

from __future__ import annotations

import asyncio
import copy
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Final, TypeAlias

from typing_extensions import override

from loomwire.application.caching.flight import Flight
from loomwire.application.caching.replay import interrupted
from loomwire.application.scopes import within
from loomwire.domain.errors import LLMError, LLMTimeoutError
from loomwire.domain.events import Finished, StreamEvent, StreamRestarted, ToolCallEnd, UsageUpdate
from loomwire.domain.ports.client import LLMStream
from loomwire.domain.ports.clock import IClock
from loomwire.domain.pricing import FREE, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import Bound
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import JSON, ToolCall

LAYER: Final = "cache"
NOTHING_USED: Final = Usage()
_ENOUGH: Final = 0.75

Answered: TypeAlias = LLMResponse[str]


class Pump:
    """Reads one stream to its end, as the work of a flight. What it gives is the answer.

    It reads as fast as the stream delivers, whoever reads along, and holds what it read: as much as one answer may be,
    which the transport limits. What a restart made void is let go.

    Args:
        stream: Opens the stream.
        keep: Called with the whole answer before anybody is told of its end.
    """

    __slots__ = ("_keep", "_stream", "_waiting", "is_open", "tape")

    def __init__(
        self, stream: Callable[[], AbstractAsyncContextManager[LLMStream]], keep: Callable[[Answered], Awaitable[None]]
    ) -> None:
        """Read nothing yet."""
        self._stream = stream
        self._keep = keep
        self._waiting: dict[asyncio.Future[None], None] = {}
        self.is_open = False
        self.tape: list[StreamEvent] = []

    async def __call__(self) -> Answered:
        """Read the stream and return its answer."""
        async with self._stream() as stream:
            self.is_open = True
            self.stir()
            async for event in stream:
                # The stream is left, and the answer kept, before anybody learns that it is whole.
                if not isinstance(event, Finished):
                    self._deliver(event)
            response = stream.response
        await self._keep(response)
        self._deliver(Finished(response.finish))
        return response

    async def more(self) -> None:
        """Wait until there is more to look at: an event, the beginning, or the end."""
        stirred: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[stirred] = None
        try:
            await stirred
        finally:
            del self._waiting[stirred]

    def stir(self, _: object = None) -> None:
        """Wake all who wait; called once more when the flight's task has ended, however it did."""
        for stirred in self._waiting:
            if not stirred.done():
                stirred.set_result(None)

    def _deliver(self, event: StreamEvent) -> None:
        if isinstance(event, StreamRestarted):
            # Another list, by which readers notice it.
            self.tape = []
        self.tape.append(event)
        self.stir()


class Reader(LLMStream):
    """One reader of a pump. It is its own iterator.

    Whoever began the flight gets the stream as it is, usage and cost included. All others sent nothing: their answer
    costs nothing and is `cached`.

    Args:
        flight: The pump's flight.
        pump: The flight's work.
        bound: When this reader's time is over; None when the stream itself ends no later.
        clock: The time.
        is_mine: Whether this reader began the flight.
    """

    __slots__ = ("_bound", "_broken", "_clock", "_flight", "_index", "_is_mine", "_left", "_pump", "_read", "_tape")

    def __init__(
        self, flight: Flight[Answered], pump: Pump, *, bound: Bound | None, clock: IClock, is_mine: bool
    ) -> None:
        """Begin at the beginning of what counts."""
        self._flight = flight
        self._pump = pump
        self._bound = bound
        self._clock = clock
        self._is_mine = is_mine
        self._tape: list[StreamEvent] = []
        self._index = 0
        self._read = False
        self._left = False
        self._broken: Exception | None = None

    @override
    def __aiter__(self) -> Reader:
        return self

    async def __anext__(self) -> StreamEvent:
        """Return the next event."""
        while (event := self._next()) is None:
            if self.finished:
                raise StopAsyncIteration
            await self._awaited()
        return event

    @property
    @override
    def response(self) -> Answered:
        if not self.finished:
            raise interrupted("the stream has not been read to its end", self._tape[: self._index])
        response = self._flight.result()
        return own(response) if self._is_mine else shared(response)

    @property
    @override
    def error(self) -> LLMError | None:
        return self._broken if isinstance(self._broken, LLMError) else None

    @property
    @override
    def finished(self) -> bool:
        return self._index > 0 and isinstance(self._tape[self._index - 1], Finished)

    def leave(self) -> None:
        """Deliver nothing more."""
        self._left = True

    def _next(self) -> StreamEvent | None:
        if self._tape is not self._pump.tape:
            begins_anew = bool(self._pump.tape) and isinstance(self._pump.tape[0], StreamRestarted)
            # To whoever read nothing, nothing became void.
            self._tape, self._index = self._pump.tape, int(begins_anew and not self._read)
        if self._left or self._broken is not None or self._index == len(self._tape):
            return None
        event = self._tape[self._index]
        self._index += 1
        self._read = True
        if isinstance(event, UsageUpdate) and not self._is_mine:
            return UsageUpdate(NOTHING_USED)
        return ToolCallEnd(event.index, _own_call(event.call)) if isinstance(event, ToolCallEnd) else event

    async def _awaited(self) -> None:
        if self._broken is not None:
            raise self._broken
        try:
            await self._more()
        except Exception as error:
            self._broken = error
            raise

    async def _more(self) -> None:
        if self._left:
            raise interrupted("the stream was left before its end", self._tape[: self._index])
        if self._flight.task.done():
            self._end()
        bound = self._bound
        if bound is None:
            return await self._pump.more()
        try:
            await within(self._clock, bound.at, bound.reason, self._pump.more)
        except LLMTimeoutError:
            late = interrupted("the stream took too long", self._tape[: self._index], bound.reason)
        else:
            return None
        raise late

    def _end(self) -> None:
        if not self._is_mine and self._flight.task.cancelled() and not self._flight.closed:
            # Nobody cancelled this reader, and it may not begin anew after what it has read.
            raise interrupted("the shared stream was cancelled", self._tape[: self._index])
        try:
            self._flight.result()
        except LLMError as error:
            if not self._is_mine:
                error.with_step(Step(LAYER, "", "shared", error.reason))
            raise


def own(response: Answered) -> Answered:
    """Return an answer as it is for one of several: arguments of tool calls are what his tools may work on."""
    if not response.tool_calls:
        return response
    twin = copy.copy(response)
    # As with_step does it: nobody has seen the twin yet.
    twin.__dict__.update(tool_calls=tuple(map(_own_call, response.tool_calls)))
    return twin


def shared(response: Answered) -> Answered:
    """Return the answer as it is for those who did not send for it: it cost them nothing, and says `cached`."""
    twin = own(response).with_step(Step(LAYER, "", "shared"))
    twin.__dict__.update(usage=NOTHING_USED, cost=FREE, cached=True)
    return twin


def _own_call(call: ToolCall) -> ToolCall:
    given = call.arguments
    return call if given is None else replace(call, arguments={name: _own(value) for name, value in given.items()})


def _own(value: JSON) -> JSON:
    if isinstance(value, Mapping):
        return {name: _own(one) for name, one in value.items()}
    return [*map(_own, value)] if isinstance(value, Sequence) and not isinstance(value, str) else value


def ends_too_soon(flight: Flight[object], now: float, until: float) -> bool:
    """Tell whether a stream may be cut off at somebody else's deadline long before a reader's time is over.

    No reader can begin anew after what he has read, so what has less than three quarters of his time is not for him.
    """
    return isinstance(flight.work, Pump) and flight.until - now < _ENOUGH * (until - now)


def bound_of(flight: Flight[object], bound: Bound | None) -> Bound | None:
    """Return the bound that a reader has to keep to by himself, because the stream's own ends later."""
    return bound if bound is not None and bound.at < flight.until < math.inf else None
