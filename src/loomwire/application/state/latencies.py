"""How long the last answers of every target took. Outlives every reload."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection

from loomwire.application.forks import renew_after_fork

_KEPT = 200
_ENOUGH = 20
# Sorting for every answer would cost more than a stale figure does.
_STALE = 10


class LatencyWindow:
    """The last 200 latencies of one target. Safe for several threads; the lock is held for microseconds."""

    __slots__ = ("_lock", "_new", "_p95", "_seconds")

    def __init__(self) -> None:
        """Know nothing."""
        self._lock = threading.Lock()
        self._seconds: deque[float] = deque(maxlen=_KEPT)
        self._new = 0
        self._p95: float | None = None

    def note(self, seconds: float) -> None:
        """Add a latency."""
        with self._lock:
            self._seconds.append(seconds)
            self._new += 1
            if len(self._seconds) >= _ENOUGH and (self._p95 is None or self._new >= _STALE):
                ordered = sorted(self._seconds)
                self._p95 = ordered[len(ordered) * 95 // 100]
                self._new = 0

    @property
    def p95_s(self) -> float | None:
        """Seconds within which 95 of 100 answers came, at most ten answers old; None before 20 answers."""
        return self._p95

    def after_fork(self) -> None:
        """Take a lock of its own in a child."""
        self._lock = threading.Lock()


class Latencies:
    """The windows of all targets. Safe for several threads."""

    def __init__(self) -> None:
        """Start without targets."""
        self._windows: dict[str, LatencyWindow] = {}
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Go on in a child; another thread of the parent may have held a lock."""
        self._lock = threading.Lock()
        for window in self._windows.values():
            window.after_fork()

    def window(self, target: str) -> LatencyWindow:
        """Return the window of a target, the same one for ever. Called at build time."""
        with self._lock:
            window = self._windows.get(target)
            if window is None:
                window = self._windows[target] = LatencyWindow()
            return window

    def retain(self, targets: Collection[str]) -> None:
        """Forget the windows of all other targets."""
        with self._lock:
            self._windows = {name: window for name, window in self._windows.items() if name in targets}
