"""Whether the machine itself stood still during a soak: what is measured then is the machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from benchmarks.soak.figures import Measured, missed
from loomwire.domain.ports.clock import IClock
from loomwire.infrastructure.telemetry.clock import SystemClock

TOO_LONG_S: Final = 1.0
"""A third of the shortest time limit in a soak: whoever stands still for longer makes healthy servers look dead."""

TRIES: Final = 3
_LOOK_S: Final = 0.1


class Stops:
    """The longest time for which an event loop did not get on.

    Args:
        clock: The time.

    Attributes:
        longest_s: Seconds, since the beginning or the last `fresh`.
    """

    def __init__(self, clock: IClock | None = None) -> None:
        """Have seen nothing."""
        self.longest_s = 0.0
        self._clock = clock or SystemClock()

    def fresh(self) -> None:
        """Forget what was seen."""
        self.longest_s = 0.0

    def note(self, stopped_s: float) -> None:
        """Take what somebody else saw."""
        self.longest_s = max(self.longest_s, stopped_s)

    async def watch(self) -> None:
        """Look at the running loop until cancelled."""
        while True:
            before = self._clock.now()
            await self._clock.sleep(_LOOK_S)
            self.note(self._clock.now() - before - _LOOK_S)

    @asynccontextmanager
    async def watching(self) -> AsyncGenerator[None]:
        """Look at the running loop for as long as the block takes."""
        task = asyncio.get_running_loop().create_task(self.watch())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


STOPS: Final = Stops()
"""What this process and the endpoints of its soak saw."""


async def soaked(
    run: Callable[[int], Awaitable[Sequence[Measured]]], size: int, *, times: bool = True
) -> Sequence[Measured]:
    """Soak; where a bar was missed while the machine stood still, say so and soak again, three times at most.

    Args:
        run: The soak.
        size: How large it is.
        times: Judge those figures too that depend on the machine.
    """
    tries = 0
    while True:
        STOPS.fresh()
        async with STOPS.watching():
            measured = await run(size)
        tries += 1
        short = missed(measured, times=times)
        if not short or STOPS.longest_s < TOO_LONG_S:
            return measured
        print(f"  the machine stood still for {STOPS.longest_s:.1f} s: {', '.join(short)}")
        if tries == TRIES:
            return measured
