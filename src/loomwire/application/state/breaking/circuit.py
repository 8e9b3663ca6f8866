"""One circuit: counts how calls end, leaves what fails alone for a while, then looks carefully whether it is well."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Final

from loomwire.application.state.breaking.permits import SETTLED, CircuitState, CircuitStatus, Hold, Permit, Refused
from loomwire.application.state.breaking.thresholds import is_slow, is_too_slow, reason_to_open, rests_s
from loomwire.application.state.breaking.window import Window
from loomwire.domain.policies import BreakerPolicy

_CLOSED, _OPEN, _HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN
LEASE_S: Final = 605.0
"""How long a probe may take before its permit is given to another: the longest attempt of the defaults and 5 s."""
MOST_OVERTAKEN: Final = 100
"""So many earlier calls may still be under way and speak against opening; more could be permits that were lost."""
LONG_OVERTAKEN: Final = 4
"""A failure is no news when a call that began so many rows of `consecutive` later was answered."""


class Circuit:
    """Lets calls through, or not, by how earlier ones ended.

    Closed, it opens when enough of the window's calls failed or were slow, or after so many failures in a row (more of
    them where failures are common, so that it does not open by chance: see `reason_to_open`; without those that are no
    news: see `LONG_OVERTAKEN`). Open,
    it refuses for `open_s`, doubled every time it opens again, 20 % more or less, never above `open_max_s`; it begins
    with `open_s` again when it was closed for a whole window. Then it is half open: at most `probes` calls at once,
    whose `probes`-th answer closes it; a failure before the first answer opens it, after that the `probes`-th does.
    When as many of those answers were slow as would open a closed circuit, it opens too.

    Every change of state begins a new generation, and a permit of an earlier one changes nothing any more, but it is
    still one of the `probes` until it is given back. A probe's permit is leased: when it was not given back in time
    another call gets it.

    Safe from any thread and loop; a lock is held for about a microsecond, and a closed circuit is entered without it.

    Args:
        name: What it guards, for messages and lists.
        policy: When it opens, and for how long.
        lease_s: How long a probe may take, in seconds.
        now: Monotonic seconds.
        draw: A random number from 0 to 1, for the jitter.

    Attributes:
        hold: What an operator has decided until `reset`.
        answered_at: When a call was answered last, in monotonic seconds.
        tripped_at: When it opened by itself after it had been closed; None while it is closed or an operator keeps it.
    """

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy,
        *,
        lease_s: float = LEASE_S,
        now: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Start closed."""
        self.name = name
        self.policy = policy
        self._lease_s = lease_s
        self._now = now
        self._draw = draw
        self._lock = threading.Lock()
        self._window = Window(policy.window_s, policy.buckets)
        self._streak = self._trips = self._proofs = self._slow_proofs = self._disproofs = 0
        self._probes: dict[Permit, float] = {}
        self._generation = 0
        # Of this life: what gives permits their numbers, without a lock, how many of them came back, and the number of
        # the call that began last of those that were answered.
        self._numbers, self._ended, self._answered = count(), 0, -1
        self._until = self._tried = self._spare_until = -math.inf
        self._error = ""
        self.hold: Hold = ""
        self.answered_at = -math.inf
        self.tripped_at: float | None = None
        self._become(_CLOSED, "", now())

    @property
    def is_closed(self) -> bool:
        """Whether every call is let through."""
        return self._entry is not None

    def admit(self) -> Permit | Refused:
        """Return a permit for one call, to be given to `succeeded`, `failed` or `ignored`, or say why there is none."""
        # One read tells both that it is closed and its generation, so no lock is needed here.
        entry, now = self._entry, self._now()
        if entry is not None:
            return Permit(entry, now, next(self._numbers))
        with self._lock:
            if self._entry is not None:
                return Permit(self._entry, now, next(self._numbers))
            refused = self._refused(now)
            return self._leased(now) if refused is None else refused

    def succeeded(self, permit: Permit) -> CircuitState | None:
        """Take the permit of a call that was answered. Return the state it changed to, None when it did not."""
        with self._lock:
            now = self._now()
            if permit.generation != self._entry:
                return self._proved(permit, now) if self._claims(permit, now) else None
            permit.generation = SETTLED
            self._ended += 1
            self.answered_at = now
            self._streak = 0
            self._answered = max(self._answered, permit.number)
            slow = self.policy.slow_after_s is not None and self._is_slow(permit, now)
            self._window.add(now, failed=False, slow=slow)
            return self._opened(now, "slow_rate") if slow and is_too_slow(self.policy, self._window) else None

    def failed(self, permit: Permit, error: str = "") -> CircuitState | None:
        """Take the permit of a call whose failure counts; `error` is its code. Return the state it changed to."""
        with self._lock:
            now = self._now()
            if not self._claims(permit, now):
                return None
            self._error = error
            if permit.leased:
                return self._disproved(now)
            # Calls that hang give up together, long after others that began far later were answered.
            self._streak += permit.number > self._answered - LONG_OVERTAKEN * self.policy.consecutive
            self._window.add(now, failed=True, slow=self._is_slow(permit, now))
            overtaken = min(max(permit.number - self._ended, 0), MOST_OVERTAKEN)
            self._ended += 1
            reason = reason_to_open(self.policy, self._window, self._streak, overtaken)
            return self._opened(now, reason) if reason else None

    def ignored(self, permit: Permit) -> None:
        """Take the permit of a call that says nothing about what is guarded; nothing is counted."""
        with self._lock:
            if self._claims(permit, self._now()) and not permit.leased:
                self._ended += 1

    def began(self, permit: Permit) -> None:
        """Note that the first token came: a stream is slow by the time to it, not by its length."""
        permit.first_at = self._now()

    def try_now(self, every_s: float = 1.0) -> bool:
        """Let one call through although the circuit is open, for when there is nobody else left to ask.

        Its answer counts as the first of a half-open circuit, its failure changes nothing.

        Args:
            every_s: At most one in so many seconds, however often it is asked for.

        Returns:
            Whether the next call gets a permit. Another call may be the next one.
        """
        with self._lock:
            now = self._now()
            if self._entry is not None:
                return True
            if not self.hold and self._state is _OPEN and now < self._until:
                if now < self._tried + every_s:
                    return False
                self._tried, self._spare_until = now, now + every_s
            return self._refused(now) is None

    def wait_s(self) -> float | None:
        """Return the seconds until a call is let through: 0 when it is now, None when nobody can know."""
        with self._lock:
            return self._wait_s(self._now())

    def force_open(self, for_s: float | None = None) -> None:
        """Open it as if it had failed: it becomes half open when its time is up. Lifts what an operator said before.

        Args:
            for_s: For so many seconds; None for as long as the policy says.
        """
        self._decide("", _OPEN, "forced", for_s)

    def force_closed(self) -> None:
        """Close it, and keep it closed whatever happens, until `reset`."""
        self._decide("forced_closed", _CLOSED, "forced")

    def isolate(self) -> None:
        """Refuse every call until `reset`, without probes."""
        self._decide("isolated", _OPEN, "isolated")

    def reset(self) -> None:
        """Close it and forget everything: counts, doublings and what an operator said."""
        self._decide("", _CLOSED, "reset")

    def trip(self, reason: str) -> bool:
        """Open it because something else says so, unless it is not closed or an operator keeps it. Whether it did."""
        with self._lock:
            return self._state is _CLOSED and self._opened(self._now(), reason) is not None

    def recover(self, reason: str) -> bool:
        """Close it because something else says so, unless it is closed or an operator keeps it. Whether it did."""
        with self._lock:
            if self.hold or self._state is _CLOSED:
                return False
            self._become(_CLOSED, reason, self._now())
            return True

    def adapt(self, policy: BreakerPolicy, lease_s: float = LEASE_S) -> None:
        """Go on under other numbers. Its state stays, but it is open no longer than they, or an operator, allow.

        The window's counts stay unless its length or its buckets change; equal numbers change nothing at all.
        """
        with self._lock:
            before, self.policy, self._lease_s = self.policy, policy, lease_s
            # Most are the very same, and to compare all their numbers takes longer than the rest.
            if before is policy or before == policy:
                return
            if (before.window_s, before.buckets) != (policy.window_s, policy.buckets):
                self._window = Window(policy.window_s, policy.buckets)
            if self._state is _OPEN and not self._is_timed:
                self._until = min(self._until, self._since + rests_s(policy, self._trips)[1])

    def status(self) -> CircuitStatus:
        """Return the circuit as numbers. Reading changes nothing."""
        with self._lock:
            now = self._now()
            self._window.turn(now)
            due = self._state is _OPEN and self.hold == "" and now >= self._until
            return CircuitStatus(
                self.name,
                _HALF_OPEN if due else self._state,
                self.hold,
                self._reason,
                self._error,
                now - self._since,
                self._wait_s(now),
                self._window.calls,
                self._window.failures,
                self._window.slow,
                self._streak,
                0 if self._is_well(now) else self._trips,
                len(self._probes),
            )

    def after_fork(self) -> None:
        """Go on in a child: another thread of the parent may have held the lock, and the parent made the probes."""
        self._lock = threading.Lock()
        self._probes.clear()
        self._numbers, self._ended, self._answered = count(), 0, -1
        # The parent's permits have numbers of the parent's.
        self._generation += 1
        self._entry = self._generation if self._state is _CLOSED else None

    def _refused(self, now: float) -> Refused | None:
        if self.hold == "isolated":
            return Refused(self.name, "isolated")
        if self._state is _OPEN and now < self._until and now >= self._spare_until:
            return Refused(self.name, "open", self._wait_s(now))
        return Refused(self.name, "half_open") if self._is_full(now) else None

    def _is_full(self, now: float) -> bool:
        if len(self._probes) >= self.policy.probes:
            self._probes = {permit: end for permit, end in self._probes.items() if end >= now}
        return len(self._probes) >= self.policy.probes

    def _wait_s(self, now: float) -> float | None:
        if self._entry is not None:
            return 0.0
        if self.hold:
            return None
        if now < self._until:
            return self._until - now
        return None if self._is_full(now) else 0.0

    def _leased(self, now: float) -> Permit:
        if self._state is _OPEN and now >= self._until:
            self._become(_HALF_OPEN, self._reason, now)
        self._spare_until = -math.inf
        permit = Permit(self._generation, now, leased=True)
        self._probes[permit] = now + self._lease_s
        return permit

    def _claims(self, permit: Permit, now: float) -> bool:
        current = permit.generation == self._generation
        permit.generation = SETTLED
        if permit.leased:
            return self._probes.pop(permit, -math.inf) >= now and current
        return current

    def _is_slow(self, permit: Permit, now: float) -> bool:
        return is_slow(self.policy, (now if permit.first_at is None else permit.first_at) - permit.started)

    def _proved(self, permit: Permit, now: float) -> CircuitState | None:
        if self._state is _OPEN:
            self._become(_HALF_OPEN, self._reason, now)
        self.answered_at = now
        self._proofs += 1
        self._slow_proofs += self._is_slow(permit, now)
        if self._proofs < self.policy.probes:
            return None
        if self._slow_proofs and self._slow_proofs >= self.policy.slow_rate * self._proofs:
            return self._opened(now, "slow_rate")
        self._become(_CLOSED, "recovered", now)
        return _CLOSED

    def _disproved(self, now: float) -> CircuitState | None:
        # A call sent in spite of an open circuit proves nothing new by failing.
        if self._state is not _HALF_OPEN:
            return None
        self._disproofs += 1
        # The first verdict decides alone, so that an outage costs one probe; what answered may fail now and then.
        is_ill = self._proofs == 0 or self._disproofs >= self.policy.probes
        return self._opened(now, "probe_failed") if is_ill else None

    def _opened(self, now: float, reason: str) -> CircuitState | None:
        if self.hold:
            return None
        if self._state is _CLOSED:
            if self._is_well(now):
                self._trips = 0
            self.tripped_at = now
        self._trips += 1
        self._become(_OPEN, reason, now)
        shortest, longest = rests_s(self.policy, self._trips)
        self._until = now + shortest + self._draw() * (longest - shortest)
        return _OPEN

    def _is_well(self, now: float) -> bool:
        return self._state is _CLOSED and now - self._since >= self.policy.window_s

    def _decide(self, hold: Hold, state: CircuitState, reason: str, for_s: float | None = None) -> None:
        with self._lock:
            now = self._now()
            self.hold = self._error = ""
            tripped_at = self.tripped_at
            if state is _OPEN and not hold:
                self._opened(now, reason)
                self._until, self._is_timed = (self._until, False) if for_s is None else (now + for_s, True)
            else:
                self._trips = 0
                self._become(state, reason, now)
                tripped_at = None
            # What an operator says is no sign that the endpoint as a whole is ill.
            self.tripped_at, self.hold = tripped_at, hold

    def _become(self, state: CircuitState, reason: str, now: float) -> None:
        self._generation += 1
        self._state, self._reason, self._since = state, reason, now
        self._streak = self._proofs = self._slow_proofs = self._disproofs = 0
        self._until = self._spare_until = -math.inf
        self._is_timed = False
        self._numbers, self._ended, self._answered = count(), 0, -1
        if state is _CLOSED:
            self._window.clear()
            self.tripped_at = None
        # Last: a permit that is drawn without the lock belongs to the life before, or has a number of this one.
        self._entry = self._generation if state is _CLOSED else None
