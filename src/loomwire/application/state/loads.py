"""How every target is doing with every key: calls in flight, latency, failures. Outlives every reload."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection
from typing import Final, NamedTuple

from loomwire.application.forks import renew_after_fork
from loomwire.domain.ports.selector import Load

PEAK_S: Final = 10.0
"""A latency above the average counts at once; afterwards it fades over so many seconds of faster answers."""

IDLE_S: Final = 60.0
"""The average of a target that nobody asks fades over so many seconds, so that a slow one is looked at again."""

PENALTY_S: Final = 10.0
"""What a failure is booked as fades over so many seconds."""

ILL: Final = 3
"""After so many failures in a row a target is ill, and warms up when it answers again."""

LONGEST_S: Final = 600.0
"""No failure is booked as longer, so that it fades within two minutes."""

SMALLEST_SHARE: Final = 0.1


class LoadKey(NamedTuple):
    """Whose load it is.

    Attributes:
        provider: The provider's name.
        key: The id of the key, see `key_id`; "" without one.
        model: The model's name there.
    """

    provider: str
    key: str = ""
    model: str = ""


class TargetLoad:
    """One target with one key. Safe from any thread and loop; the lock is held for a fraction of a microsecond.

    Attributes:
        in_flight: Calls that it is answering.
    """

    __slots__ = (
        "_answered_at",
        "_failures",
        "_ill",
        "_latency",
        "_lock",
        "_penalty",
        "_penalty_at",
        "_recovered_at",
        "in_flight",
    )

    def __init__(self) -> None:
        """Know nothing yet."""
        self._lock = threading.Lock()
        self.in_flight = 0
        self._failures = 0
        self._ill = False
        self._latency: float | None = None
        self._answered_at = self._penalty_at = 0.0
        self._penalty = 0.0
        self._recovered_at = -math.inf

    def began(self) -> None:
        """Count a call in; `left` counts it off, however it ends."""
        with self._lock:
            self.in_flight += 1

    def left(self) -> None:
        """Count a call off."""
        with self._lock:
            # A forked child may leave a block that its parent entered: that call was never counted here.
            self.in_flight = max(0, self.in_flight - 1)

    def answered(self, latency_s: float, now: float) -> None:
        """Note an answer, or the first event of a stream."""
        with self._lock:
            if self._ill:
                self._recovered_at = now
            self._ill, self._failures = False, 0
            before = self._latency
            if before is None or latency_s >= before:
                self._latency = latency_s
            else:
                old = math.exp(min(0.0, self._answered_at - now) / PEAK_S)
                self._latency = before * old + latency_s * (1 - old)
            self._answered_at = now

    def failed(self, timeout_s: float, now: float) -> None:
        """Book a failure of the target as the time a timeout takes, or twice its latency, whichever is more.

        Booked as what it took, a target that fails at once would look like the fastest of all.
        """
        with self._lock:
            self._failures += 1
            self._ill = self._ill or self._failures >= ILL
            self._penalty = max(min(timeout_s, LONGEST_S), 2 * (self._latency or 0.0))
            self._penalty_at = now

    def rests(self) -> None:
        """Note that it is left alone, so that it warms up when it answers again."""
        # Without the lock: it is one flag, and it stands already when many calls pass by.
        self._ill = True

    def reading(self, now: float, warmup_s: float, *, rest_s: float = 0.0, cost_micro: int | None = None) -> Load:
        """Return how it is doing.

        Args:
            now: Monotonic seconds.
            warmup_s: How slowly it gets its share back after it was ill.
            rest_s: For how long it rests.
            cost_micro: What the request in question would cost.
        """
        with self._lock:
            latency, share = self._latency, 1.0
            if latency is not None:
                latency *= math.exp(min(0.0, self._answered_at - now) / IDLE_S)
            if self._penalty:
                penalty = self._penalty * math.exp(min(0.0, self._penalty_at - now) / PENALTY_S)
                latency = max(latency or 0.0, penalty)
            if warmup_s > 0 and now < self._recovered_at + warmup_s:
                share = max(SMALLEST_SHARE, (now - self._recovered_at) / warmup_s)
            return Load(self.in_flight, latency, self._failures, share, cost_micro, rest_s)

    def after_fork(self) -> None:
        """Begin with no calls, and a lock of its own: those of the parent are not here."""
        self._lock = threading.Lock()
        self.in_flight = 0


class Loads:
    """The loads of all targets, by name: the same name is the same load for ever. Safe for several threads."""

    def __init__(self) -> None:
        """Start without targets."""
        self._loads: dict[LoadKey, TargetLoad] = {}
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Go on in a child; another thread of the parent may have held a lock."""
        self._lock = threading.Lock()
        for load in self._loads.values():
            load.after_fork()

    def target(self, provider: str, key: str, model: str) -> TargetLoad:
        """Return the load of a target with one key. Called at build time."""
        with self._lock:
            name = LoadKey(provider, key, model)
            return self._loads.get(name) or self._loads.setdefault(name, TargetLoad())

    def retain(self, targets: Collection[tuple[str, str, str]]) -> None:
        """Forget the loads of targets and keys that no configuration names any more.

        Args:
            targets: Provider, key and model of what to keep.
        """
        with self._lock:
            self._loads = {name: load for name, load in self._loads.items() if name in targets}

    def readings(self, now: float, warmup_s: float = 0.0) -> dict[LoadKey, Load]:
        """Return how every target is doing."""
        with self._lock:
            loads = dict(self._loads)
        return {name: load.reading(now, warmup_s) for name, load in loads.items()}
