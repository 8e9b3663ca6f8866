"""Garbage: collecting cycles where that holds nobody up for long."""

from __future__ import annotations

import gc
import math
import sys
import time
from collections.abc import Callable
from typing import Final

EVERY_S: Final = 60.0
"""Least time between two collections, in seconds."""
STALL_S: Final = 0.05
"""Longest that one may hold up all other threads, and so every event loop, in seconds."""

_BLOCK_S: Final = 140e-9


class Garbage:
    """Collects cyclic garbage at most once a minute, and never where that is known to take more than 50 ms.

    A full collection holds the interpreter's lock to its end. It takes 20 to 140 ns for each block of memory that
    Python has, 45 ms in a process that has loomwire, pydantic and httpx imported and nothing else, and 100 ms with a
    million further objects. So the first is foretold by the largest figure and later ones by the last. A host that
    switched the collector off, or froze its heap, has said what it wants. Not safe for several threads.

    Args:
        now: Monotonic seconds.
        collect: Collects everything.
        blocks: Tells how much there is.
        enabled: Tells whether the host lets Python collect.
    """

    def __init__(
        self,
        now: Callable[[], float],
        collect: Callable[[], int] = gc.collect,
        blocks: Callable[[], int] = sys.getallocatedblocks,
        enabled: Callable[[], bool] = gc.isenabled,
    ) -> None:
        """Collect nothing yet."""
        self._now = now
        self._collect = collect
        self._blocks = blocks
        self._enabled = enabled
        self._last = -math.inf
        self._block_s = _BLOCK_S

    def collect(self) -> float | None:
        """Collect, or leave it; return how long it took in seconds, None when it was left."""
        blocks = self._blocks()
        is_due = self._now() - self._last >= EVERY_S
        if not (is_due and self._enabled() and blocks * self._block_s <= STALL_S):
            return None
        self._last = self._now()
        began = time.perf_counter()
        self._collect()
        took = time.perf_counter() - began
        self._block_s = took / max(blocks, 1)
        return took
