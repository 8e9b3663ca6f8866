"""What was called, how it ended and what it used. Outlives every reload."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from typing import Final, TypeAlias

from loomwire.application.forks import renew_after_fork
from loomwire.application.state.counts import CallCounts
from loomwire.domain.pricing import Charge, Cost, Usage

RECENT: Final = 200
"""How many endings a tally remembers one by one."""

Ended: TypeAlias = tuple[float, float, str]
"""When a call ended, in monotonic seconds; how many it took; and its error's code, "" for an answer."""


class Tally:
    """Running totals of one client or target, and its last endings one by one.

    Safe for several threads; the lock is held for about a microsecond.

    Args:
        now: Monotonic seconds.
    """

    __slots__ = (
        "_abandoned",
        "_answered",
        "_cancelled",
        "_cost",
        "_errors",
        "_failed",
        "_in",
        "_latency",
        "_lock",
        "_now",
        "_out",
        "_recent",
        "_unpriced",
    )

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Start at nothing."""
        self._now = now
        self._recent: deque[Ended] = deque(maxlen=RECENT)
        self._lock = threading.Lock()
        self._answered = self._failed = self._cancelled = self._abandoned = 0
        self._in = self._out = self._cost = self._unpriced = 0
        self._latency = 0.0
        self._errors: dict[str, int] = {}

    def answered(self, latency_s: float, usage: Usage, cost: Charge) -> None:
        """Count an answer."""
        with self._lock:
            self._answered += 1
            self._latency += latency_s
            self._recent.append((self._now(), latency_s, ""))
            self._in += usage.input_tokens
            self._out += usage.output_tokens
            if isinstance(cost, Cost):
                self._cost += cost.micro_usd
            else:
                self._unpriced += 1

    def failed(self, latency_s: float, code: str) -> None:
        """Count an error."""
        with self._lock:
            self._failed += 1
            self._latency += latency_s
            self._recent.append((self._now(), latency_s, code))
            self._errors[code] = self._errors.get(code, 0) + 1

    def left(self, *, cancelled: bool) -> None:
        """Count a call that nobody waited for: cancelled, or a stream left early."""
        with self._lock:
            if cancelled:
                self._cancelled += 1
            else:
                self._abandoned += 1

    def after_fork(self) -> None:
        """Take a lock of its own in a child."""
        self._lock = threading.Lock()

    def recent(self) -> tuple[Ended, ...]:
        """Return the last answers and errors, 200 at most, the oldest first."""
        with self._lock:
            return tuple(self._recent)

    def counts(self) -> CallCounts:
        """Return the totals so far."""
        with self._lock:
            return CallCounts(
                self._answered,
                self._failed,
                self._cancelled,
                self._abandoned,
                self._in,
                self._out,
                self._cost,
                self._unpriced,
                self._latency,
                dict(self._errors),
            )


class CallStats:
    """The tallies of all clients (by name) and targets (by provider/model). Safe for several threads.

    Args:
        now: Monotonic seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Start without tallies."""
        self._now = now
        self._tallies: dict[str, Tally] = {}
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Go on counting in a child; another thread of the parent may have held a lock."""
        self._lock = threading.Lock()
        for tally in self._tallies.values():
            tally.after_fork()

    def tally(self, key: str) -> Tally:
        """Return the tally of a key, the same one for ever, so that a reload loses nothing. Called at build time."""
        with self._lock:
            tally = self._tallies.get(key)
            if tally is None:
                tally = self._tallies[key] = Tally(self._now)
            return tally

    def retain(self, keys: Collection[str]) -> None:
        """Forget the tallies of all other keys."""
        with self._lock:
            self._tallies = {key: tally for key, tally in self._tallies.items() if key in keys}

    def counts(self, key: str) -> CallCounts:
        """Return the totals of a key; all 0 when it was never built."""
        with self._lock:
            tally = self._tallies.get(key)
        return CallCounts() if tally is None else tally.counts()

    def recent(self, key: str) -> tuple[Ended, ...]:
        """Return the last answers and errors of a key; none when it was never built."""
        with self._lock:
            tally = self._tallies.get(key)
        return () if tally is None else tally.recent()
