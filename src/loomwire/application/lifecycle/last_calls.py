"""The last calls of a container that closes: they may end by themselves for a while, and then they are ended."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from typing import Final

from loomwire.application.forks import renew_after_fork
from loomwire.application.lifecycle.calls import Calls
from loomwire.domain.errors import LLMValidationError
from loomwire.domain.ports.clock import IClock

GRACE_S: Final = 0.75
"""How long calls that were ended may clean up, in seconds."""

# What is collected tells nobody.
_LOOK_S: Final = 0.25


class LastCalls:
    """Refuses new calls, waits for those in flight, ends the rest. Safe for threads and event loops.

    Any number may close at once: all wait for the same calls, until the earliest end that any of them asked for.

    Args:
        calls: The calls.
        clock: The time.
    """

    def __init__(self, calls: Calls, clock: IClock) -> None:
        """Do nothing yet."""
        self._calls = calls
        self._clock = clock
        self._until = math.inf
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Take a new lock in a child."""
        self._lock = threading.Lock()

    def close(self, drain_s: float | None, usual_s: float) -> None:
        """Refuse new calls, and say for how long those in flight may go on. Waits for nothing.

        Args:
            drain_s: Seconds; None for `usual_s`, or for what was said when it was closed before. It never gets longer.
            usual_s: Seconds.

        Raises:
            LLMValidationError: `drain_s` is no number of seconds; nothing has changed.
        """
        if drain_s is not None and not drain_s >= 0:
            raise LLMValidationError(f"calls cannot go on for {drain_s} s", hint="Give seconds, or 0 to end them now.")
        with self._lock:
            seconds = usual_s if drain_s is None and not self._calls.closed else drain_s
            if seconds is not None:
                self._until = min(self._until, self._clock.now() + seconds)
            self._calls.close()
        self._calls.tell()

    def end(self) -> None:
        """End the rest at once, and do not wait for that."""
        self._calls.end()

    def wait(self) -> None:
        """Wait until no call is left, or end the rest. Blocks; whatever interrupts it ends the rest too."""
        woken = threading.Event()
        with self._calls.heard(woken.set), closing(self._waits(woken.clear)) as waits:
            for seconds in waits:
                woken.wait(seconds)

    async def waited(self) -> None:
        """Wait as `wait` does, without blocking the running loop; cancellation ends the rest at once."""
        woken, loop = asyncio.Event(), asyncio.get_running_loop()

        def wake() -> None:
            with suppress(RuntimeError):  # this loop was closed while it waited
                loop.call_soon_threadsafe(woken.set)

        with self._calls.heard(wake), closing(self._waits(woken.clear)) as waits:
            for seconds in waits:
                await self._rest(woken, seconds)

    async def _rest(self, woken: asyncio.Event, seconds: float) -> None:
        with suppress(TimeoutError):
            async with self._clock.timeout_at(self._clock.now() + seconds):
                await woken.wait()

    def _waits(self, clear: Callable[[], None]) -> Generator[float]:
        """Give the seconds until the next look, as long as there is something to wait for."""
        try:
            while True:
                # Before looking, so that whatever happens afterwards wakes.
                clear()
                seconds = self._until - self._clock.now()
                if seconds <= 0 or not self._calls.in_flight:
                    break
                yield min(seconds, _LOOK_S)
        finally:
            self._calls.end()
        by = self._clock.now() + GRACE_S
        while True:
            clear()
            seconds = by - self._clock.now()
            if seconds <= 0 or not self._calls.unwinding:
                return
            yield min(seconds, _LOOK_S)
            # What swallowed its end is ended again.
            self._calls.end()
