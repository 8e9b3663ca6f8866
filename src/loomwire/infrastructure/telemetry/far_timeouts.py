"""Time limits that are far away: most calls end long before theirs, so a timer of its own for each is wasted work.

`asyncio.timeout` makes a timer per call, which stays in the loop's heap until it is cleaned out: 4 us a call, and more
for the garbage collector. Here the limits of one second share a timer; when it rings, what is still there gets a timer
of its own, so that every limit is as exact as before.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Final, Self

from typing_extensions import override

FAR_S: Final = 2.0
"""From here on a limit is far away."""


class FarTimeouts(threading.local):
    """The far limits of the event loop that runs on this thread; those of a loop that is gone are forgotten."""

    def __init__(self) -> None:
        """Know no loop."""
        self._loop: Callable[[], asyncio.AbstractEventLoop | None] = _no_loop
        self._seconds: dict[int, set[FarTimeout]] = {}

    def of(self, loop: asyncio.AbstractEventLoop) -> dict[int, set[FarTimeout]]:
        """Return the loop's limits, by the second in which they end, of the loop's own time."""
        if self._loop() is not loop:
            # A reference that keeps nothing alive; the limits of the loop before hang on its own timers.
            self._loop, self._seconds = weakref.ref(loop), {}
        return self._seconds


def _no_loop() -> None:
    return None


class FarTimeout(AbstractAsyncContextManager["FarTimeout"]):
    """A time limit as `asyncio.timeout`: cancels the task that entered it, and turns that into TimeoutError on leaving.

    Args:
        limits: Where it waits with the others.
        left_s: Seconds until it ends, counted from now.
    """

    __slots__ = ("_at", "_cancelling", "_has_fired", "_left_s", "_limits", "_second", "_seconds", "_task", "_timer")

    def __init__(self, limits: FarTimeouts, left_s: float) -> None:
        """Wait for nothing yet."""
        self._limits = limits
        self._left_s = left_s
        self._has_fired = False
        self._timer: asyncio.TimerHandle | None = None

    @override
    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a time limit needs a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._at = loop.time() + self._left_s
        self._second = int(self._at)
        self._seconds = self._limits.of(loop)
        waiting = self._seconds.get(self._second)
        if waiting is None:
            waiting = self._seconds[self._second] = set()
            loop.call_at(self._second, _ring, loop, self._seconds, self._second)
        waiting.add(self)
        return self

    def come_near(self, loop: asyncio.AbstractEventLoop) -> None:
        """Get a timer of its own: its second has come."""
        self._timer = loop.call_at(self._at, self._fire)

    def _fire(self) -> None:
        self._has_fired = True
        self._task.cancel()

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        waiting = self._seconds.get(self._second)
        if waiting is not None:
            waiting.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._has_fired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error


def _ring(loop: asyncio.AbstractEventLoop, seconds: dict[int, set[FarTimeout]], second: int) -> None:
    for limit in seconds.pop(second):
        limit.come_near(loop)
