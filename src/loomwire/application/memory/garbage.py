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

_BLOCK_S: Final = 600e-9
_YOUNG: Final = 1
_ALL: Final = 2


class Garbage:
    """Collects cyclic garbage at most once a minute: all of it only where that is known to take less than 50 ms.

    A full collection holds the interpreter's lock to its end: 45 ms in a process that has nothing but loomwire,
    pydantic and httpx imported, 130 to 200 ms there with both processors busy, 100 ms more for a million objects of
    the host's. That is 20 to 600 ns for each block of memory that Python has, so the first is foretold by the largest
    figure and later ones by the last. Elsewhere the two young generations are collected, in less than a millisecond.
    A host that switched the collector off has said what it wants. Not safe for several threads.

    Args:
        now: Monotonic seconds.
        collect: Collects a generation and those below it.
        blocks: Tells how much there is.
        enabled: Tells whether the host lets Python collect.
    """

    def __init__(
        self,
        now: Callable[[], float],
        collect: Callable[[int], int] = gc.collect,
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
        if self._now() - self._last < EVERY_S or not self._enabled():
            return None
        self._last = self._now()
        blocks = self._blocks()
        is_small = blocks * self._block_s <= STALL_S
        began = time.perf_counter()
        self._collect(_ALL if is_small else _YOUNG)
        took = time.perf_counter() - began
        if is_small:
            self._block_s = took / max(blocks, 1)
        return took
