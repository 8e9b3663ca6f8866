"""Waiting that ends: an alarm for the task that reads, and a fair line for permits. Both belong to one event loop."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from typing import TypeVar

from loomwire.domain.requests import Bound
from loomwire.infrastructure.transport.failures import Failed

_T = TypeVar("_T")


class Alarm:
    """Interrupts the awaiting task at a bound, or after a silence. One timer serves all waits of a request.

    The timer is set once and looks at the clock again when it rings, so a read that comes in time costs no timer.
    Interruption is a cancellation that the alarm takes back itself, as `asyncio.timeout` does; a cancellation from
    outside always wins.

    Args:
        loop: The running loop.
        bound: The instant at which every wait ends, or None.
    """

    __slots__ = ("_before", "_bound", "_handle", "_idle_s", "_loop", "_rung", "_since", "_task")

    def __init__(self, loop: asyncio.AbstractEventLoop, bound: Bound | None) -> None:
        """Set nothing yet: the first wait does."""
        self._loop = loop
        self._bound = bound
        self._idle_s: float | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._before = 0
        self._since = 0.0
        self._rung: Failed | None = None

    async def wait(self, step: Coroutine[None, None, _T]) -> _T:
        """Await `step`.

        Raises:
            Failed: with the bound's reason, or `idle`.
        """
        try:
            self.begin()
        except Exception:
            step.close()
            raise
        try:
            result = await step
        except BaseException as error:  # noqa: BLE001 - it, or what rang, goes on outside the handler, without a context
            cause = self.caught(error)
        else:
            self.end()
            return result
        raise cause

    def begin(self) -> None:
        """Guard what the running task awaits next; then call `end`, or `caught` with what the await raised.

        Raises:
            Failed: The bound is already over.
        """
        if self._bound is None and self._idle_s is None:
            return
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("an alarm can only interrupt a task")
        self._since = self._loop.time()
        # A ring between two waits hits nobody, so every wait looks at the clock itself.
        if self._bound is not None and self._since >= self._bound.at:
            raise self._fault()
        self._before = task.cancelling()
        self._task = task
        if self._handle is None:
            self._handle = self._loop.call_at(self._due(), self._ring)

    def end(self) -> None:
        """Stop guarding.

        Raises:
            Failed: It rang, and the awaited step swallowed the cancellation.
        """
        task, self._task = self._task, None
        if self._rung is not None and task is not None:
            # Taken back, so that it cannot hit the caller's next await.
            task.uncancel()
            raise self._rung

    def caught(self, error: BaseException) -> BaseException:
        """Stop guarding, and return what to raise instead of `error`: what rang, or `error` itself."""
        task, self._task = self._task, None
        if self._rung is None or task is None:
            return error
        # When others cancelled too, the cancellation is theirs and goes on.
        others = task.uncancel() > self._before
        return error if others and isinstance(error, asyncio.CancelledError) else self._rung

    def limit_silence(self, idle_s: float | None) -> None:
        """From the next wait on, let each wait take `idle_s` seconds at most; None for no limit."""
        if idle_s != self._idle_s:
            # The timer stands at the bound, which may be far behind the first silence.
            self.stop()
            self._idle_s = idle_s

    def stop(self) -> None:
        """Clear the timer. Idempotent; a later wait sets it again."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _due(self) -> float:
        if self._idle_s is None:
            return math.inf if self._bound is None else self._bound.at
        idle_at = self._since + self._idle_s
        return idle_at if self._bound is None else min(idle_at, self._bound.at)

    def _fault(self) -> Failed:
        if self._bound is not None and self._bound.at <= self._due():
            return Failed(self._bound.reason, f"the {self._bound.reason}'s time was over while waiting for the server")
        return Failed("idle", f"nothing came for {self._idle_s or 0.0:g} s")

    def _ring(self) -> None:
        self._handle = None
        task = self._task
        if task is None:
            return
        due = self._due()
        if self._loop.time() < due:
            self._handle = self._loop.call_at(due, self._ring)
            return
        self._rung = self._fault()
        task.cancel()


class Permits:
    """So many at once, the rest in line: first come, first served. A cancelled waiter leaves no trace.

    Args:
        loop: The running loop.
        limit: How many may be out; at least 1.
    """

    __slots__ = ("_limit", "_line", "_loop", "out")

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        """Start with all permits in."""
        self._loop = loop
        self._limit = max(1, limit)
        self._line: dict[asyncio.Future[bool], None] = {}
        self.out = 0

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._line)

    def take(self) -> bool:
        """Take a permit if one is free and nobody stands in line."""
        if self._line or self.out >= self._limit:
            return False
        self.out += 1
        return True

    async def wait(self, until: float) -> bool:
        """Stand in line for a permit.

        Args:
            until: The loop's time at which to give up.

        Returns:
            Whether a permit was taken; False when the time was over first.
        """
        place: asyncio.Future[bool] = self._loop.create_future()
        self._line[place] = None
        timer = self._loop.call_at(until, self._give_up, place)
        try:
            return await place
        except asyncio.CancelledError:
            if not self._give_up(place) and not place.cancelled() and place.result():
                # The permit was handed over in the same turn of the loop in which the waiter was cancelled.
                self.give_back()
            raise
        finally:
            timer.cancel()

    def give_back(self) -> None:
        """Return a permit; the first in line gets it."""
        while self._line:
            place = next(iter(self._line))
            del self._line[place]
            if not place.done():
                place.set_result(True)
                return
        self.out -= 1

    def dismiss(self) -> None:
        """Send everybody in line away without a permit."""
        for place in list(self._line):
            self._give_up(place)

    def _give_up(self, place: asyncio.Future[bool]) -> bool:
        stood = place in self._line
        self._line.pop(place, None)
        if stood and not place.done():
            place.set_result(False)
        return stood
