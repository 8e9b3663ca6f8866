"""A time window that is counted in buckets, so that what is long ago is forgotten in steps."""

from __future__ import annotations

from collections import deque
from typing import Final

_NEVER: Final = -(2**63)


class Window:
    """How many calls, failures and slow calls the last seconds saw. Not locked: its owner holds the lock.

    A bucket is forgotten as a whole, so it looks back on at least `window_s - window_s / buckets` seconds and on at
    most `window_s`. Only buckets in which something happened take room.

    Args:
        window_s: What is looked back on, in seconds.
        buckets: Into how many parts it is cut.
    """

    __slots__ = ("_buckets", "_kept", "_newest", "_per_s", "calls", "failures", "slow")

    def __init__(self, window_s: float, buckets: int) -> None:
        """Start with nothing counted."""
        self._kept = buckets
        self._per_s = buckets / window_s
        self._buckets: deque[list[int]] = deque()
        self._newest = [_NEVER, 0, 0, 0]
        self.calls = self.failures = self.slow = 0

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count one call that ended at `now` (monotonic seconds)."""
        index = int(now * self._per_s)
        # Threads may come here in another order than they read the clock: the newest bucket takes what is older.
        newest = self._newest
        if newest[0] < index:
            self._forget(index)
            newest = self._newest = [index, 0, 0, 0]
            self._buckets.append(newest)
        newest[1] += 1
        self.calls += 1
        if failed:
            newest[2] += 1
            self.failures += 1
        if slow:
            newest[3] += 1
            self.slow += 1

    def turn(self, now: float) -> None:
        """Forget what is too long ago at `now`, though nothing new happened; for reading the counts."""
        self._forget(int(now * self._per_s))
        if not self._buckets:
            self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._buckets.clear()
        self._newest = [_NEVER, 0, 0, 0]
        self.calls = self.failures = self.slow = 0

    def _forget(self, index: int) -> None:
        oldest = index - self._kept
        while self._buckets and self._buckets[0][0] <= oldest:
            _, calls, failures, slow = self._buckets.popleft()
            self.calls -= calls
            self.failures -= failures
            self.slow -= slow
