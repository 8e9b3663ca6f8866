"""A clock that stands still until the test moves it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Final, final

from typing_extensions import override

from loomwire.domain.ports.clock import IClock

_TURNS: Final = 32
# Ten sleeps of 0.1 s end a hair after advance(1.0), and nobody would understand why.
_ROUNDING_S: Final = 1e-9


@final
class FakeClock(IClock):
    """Time for tests: `sleep` and `timeout_at` wait for `advance`, not for the wall clock.

    `advance` stops at every instant for which somebody waits, oldest first, and lets tasks run there before it goes
    on, so that what they start in the meantime is timed correctly. It gives tasks 32 turns of the loop each time:
    enough for a chain of tasks, not for real sockets or threads. Several loops and threads may share one clock.

    Args:
        start: What `now` says at first, in seconds.

    Example:
        >>> import asyncio
        >>> async def nap(clock: FakeClock) -> float:
        ...     sleeper = asyncio.create_task(clock.sleep(3600))
        ...     await clock.advance(3600)
        ...     await sleeper
        ...     return clock.now()
        >>> asyncio.run(nap(FakeClock()))
        3600.0
    """

    def __init__(self, start: float = 0.0) -> None:
        """Stand still at `start`."""
        self._now = float(start)
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._timers: list[tuple[float, int, _Timer]] = []

    @override
    def __repr__(self) -> str:
        return f"FakeClock({self._now!r})"

    @property
    def waiting(self) -> int:
        """How many sleeps and timeouts wait for time to pass."""
        with self._lock:
            return sum(timer.is_set for _, _, timer in self._timers)

    @override
    def now(self) -> float:
        return self._now

    @override
    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved so far; without seconds, let others run once."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            """End the wait, unless it was given up."""
            if not woken.done():
                woken.set_result(None)

        timer = _Timer(loop, wake)
        self._set(self._now + seconds, timer)
        try:
            await woken
        finally:
            timer.is_set = False

    @override
    def timeout_at(self, at: float) -> AbstractAsyncContextManager[object]:
        return _FakeTimeout(self._set, at)

    def move(self, seconds: float) -> None:
        """Move time at once, for code that only reads it; tasks whose time has come run at their loop's next turn.

        Raises:
            ValueError: Time does not run backwards.
        """
        if seconds < 0:
            raise ValueError("a monotonic clock does not run backwards")
        self._reach(self._now + seconds)

    async def advance(self, seconds: float) -> None:
        """Move time step by step and let tasks run at every step, and at the end.

        Raises:
            ValueError: Time does not run backwards.
        """
        if seconds < 0:
            raise ValueError("a monotonic clock does not run backwards")
        end = self._now + seconds
        await _let_tasks_run()
        while (at := self._next_instant()) is not None and at <= end + _ROUNDING_S:
            self._reach(at)
            await _let_tasks_run()
        self._reach(end)
        await _let_tasks_run()

    def _set(self, at: float, timer: _Timer) -> None:
        with self._lock:
            is_due = at <= self._now
            if not is_due:
                heapq.heappush(self._timers, (at, next(self._numbers), timer))
        if is_due:
            timer.fire()

    def _next_instant(self) -> float | None:
        with self._lock:
            while self._timers and not self._timers[0][2].is_set:
                heapq.heappop(self._timers)
            return self._timers[0][0] if self._timers else None

    def _reach(self, at: float) -> None:
        with self._lock:
            self._now = max(self._now, at)
            due = []
            while self._timers and self._timers[0][0] <= self._now + _ROUNDING_S:
                due.append(heapq.heappop(self._timers)[2])
        for timer in due:
            timer.fire()


class _Timer:
    """Something that rings once, on its own loop."""

    __slots__ = ("_loop", "_ring", "is_set")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self.is_set = True

    def fire(self) -> None:
        """Ring, unless it was unset or rang before. From any thread."""
        if self.is_set and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ring)
        self.is_set = False


@final
class _FakeTimeout(AbstractAsyncContextManager[object]):
    """`asyncio.timeout` without a time of its own: the clock's timer makes it expire at once."""

    __slots__ = ("_at", "_inner", "_is_open", "_set", "_timer")

    def __init__(self, set_timer: Callable[[float, _Timer], None], at: float) -> None:
        self._set = set_timer
        self._at = at
        self._inner = asyncio.timeout(None)
        self._is_open = True
        self._timer = _Timer(asyncio.get_running_loop(), self._expire)

    @override
    async def __aenter__(self) -> object:
        await self._inner.__aenter__()
        self._set(self._at, self._timer)
        return self

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._is_open = False
        self._timer.is_set = False
        await self._inner.__aexit__(kind, error, trace)

    def _expire(self) -> None:
        # It rings in the loop's next turn, and the block may have been left in between.
        if self._is_open:
            self._inner.reschedule(asyncio.get_running_loop().time())


async def _let_tasks_run() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)
