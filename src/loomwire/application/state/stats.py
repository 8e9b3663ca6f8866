"""What was called, how it ended and what it used. Outlives every reload."""

from __future__ import annotations

import threading

from loomwire.application.forks import renew_after_fork
from loomwire.application.state.counts import CallCounts
from loomwire.domain.pricing import Charge, Cost, Usage


class Tally:
    """Running totals of one client or target. Safe for several threads; the lock is held for about a microsecond."""

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
        "_out",
        "_unpriced",
    )

    def __init__(self) -> None:
        """Start at nothing."""
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
    """The tallies of all clients (by name) and targets (by provider/model). Safe for several threads."""

    def __init__(self) -> None:
        """Start without tallies."""
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
                tally = self._tallies[key] = Tally()
            return tally

    def counts(self, key: str) -> CallCounts:
        """Return the totals of a key; all 0 when it was never built."""
        with self._lock:
            tally = self._tallies.get(key)
        return CallCounts() if tally is None else tally.counts()
