"""Whether the machine itself stood still during a soak: what is measured then is the machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Final

from benchmarks.soak.figures import Measured, missed

TOO_LONG_S: Final = 1.0
"""A third of the time limits of `QUICK`: whoever stands still for longer makes healthy servers look dead."""

TRIES: Final = 3
_LOOK_S: Final = 0.1


class Stops:
    """The longest time for which nothing of this process ran.

    It is a thread that looks, so that a fault of ours which blocks the event loop is no excuse.

    Attributes:
        longest_s: Seconds, since the beginning or the last `fresh`.
    """

    def __init__(self) -> None:
        """Have seen nothing."""
        self.longest_s = 0.0

    def fresh(self) -> None:
        """Forget what was seen."""
        self.longest_s = 0.0

    def note(self, stopped_s: float) -> None:
        """Take what somebody saw."""
        self.longest_s = max(self.longest_s, stopped_s)

    @contextmanager
    def watching(self) -> Generator[None]:
        """Look for as long as the block takes."""
        over = threading.Event()
        looking = threading.Thread(target=self.look, args=(over.wait,), name="soak-stops")
        looking.start()
        try:
            yield
        finally:
            over.set()
            looking.join()

    def look(self, wait: Callable[[float], bool], now: Callable[[], float] = time.monotonic) -> None:
        """Look ten times a second.

        Args:
            wait: Waits for so many seconds, and returns whether it is over.
            now: Monotonic seconds.
        """
        before = now()
        while not wait(_LOOK_S):
            before, last = now(), before
            self.note(before - last - _LOOK_S)


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

    Returns:
        The figures of the last time, and how often the machine spoilt it before.
    """
    spoilt = 0
    while True:
        STOPS.fresh()
        with STOPS.watching():
            measured = await run(size)
        short = missed(measured, times=times)
        if short and STOPS.longest_s >= TOO_LONG_S:
            print(f"  the machine stood still for {STOPS.longest_s:.1f} s: {', '.join(short)}")
            spoilt += 1
            if spoilt < TRIES:
                continue
        told = [Measured(title="times the machine stood still and spoilt it", value=spoilt)] if spoilt else []
        return [*measured, *told]
