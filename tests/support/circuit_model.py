"""A second, slow and plain account of what a circuit must do, played beside the real one and compared at every step."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from loomwire.application.state.breaking.circuit import Circuit
from loomwire.application.state.breaking.permits import CircuitState, Permit, Refused
from loomwire.domain.policies import BreakerPolicy
from loomwire.testing import FakeClock

POLICY = BreakerPolicy(
    window_s=8,
    buckets=4,
    min_calls=4,
    failure_rate=0.5,
    consecutive=3,
    slow_rate=0.75,
    slow_after_s=1,
    open_s=2,
    open_max_s=16,
    probes=2,
)
LEASE_S = 6.0
MOVES = (0.25, 0.5, 1.5, 2.25, 7.0, 33.0)
DRAWS = (0.0, 0.25, 0.5, 1.0)
ENDINGS = ("succeeded", "failed", "ignored")
ORDERS = ("force_open", "force_closed", "isolate", "reset")


@dataclass
class Given:
    """A permit that was handed out, and what the account knows of it."""

    permit: Permit
    life: int
    leased: bool
    started: float
    ends: float
    number: int
    first_at: float | None = None
    is_back: bool = False


@dataclass
class Account:
    """What the circuit should be. `life` counts its changes of state."""

    state: str = "closed"
    hold: str = ""
    life: int = 0
    since: float = 0.0
    until: float = -math.inf
    trips: int = 0
    streak: int = 0
    answers: int = 0
    slow_answers: int = 0
    failures: int = 0
    given: int = 0
    back: int = 0
    answered: set[int] = field(default_factory=set)
    seen: list[tuple[int, bool, bool]] = field(default_factory=list)

    def become(self, state: str, now: float) -> None:
        """Begin another life."""
        self.state, self.since, self.until = state, now, -math.inf
        self.life += 1
        self.streak = self.answers = self.slow_answers = self.failures = self.given = self.back = 0
        if state == "closed":
            self.seen.clear()
            self.answered.clear()


class CircuitModel:
    """The real circuit and the account. Every method does something to both and raises AssertionError at a difference.

    Args:
        policy: The thresholds.
    """

    def __init__(self, policy: BreakerPolicy = POLICY) -> None:
        """Begin closed."""
        self.policy = policy
        self.clock = FakeClock()
        self.drawn = 0.5
        self.real = Circuit("x", policy, lease_s=LEASE_S, now=self.clock.now, draw=lambda: self.drawn)
        self.account = Account()
        self.given: list[Given] = []
        self.closings = 0
        self.refusals = 0

    @property
    def now(self) -> float:
        """The time."""
        return self.clock.now()

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.move(seconds)
        self.compare()

    def admit(self) -> None:
        """Ask for a permit; the refusal says exactly when to come again."""
        account, now = self.account, self.now
        if account.state == "open" and not account.hold and now >= account.until and self.room():
            account.become("half_open", now)
        is_allowed = account.state == "closed" or (account.state == "half_open" and self.room())
        said = self.real.admit()
        assert isinstance(said, Permit) == is_allowed, said
        if isinstance(said, Permit):
            is_leased = account.state != "closed"
            self.given.append(Given(said, account.life, is_leased, now, now + LEASE_S, account.given))
            account.given += not is_leased
        else:
            self.refusals += 1
            self.check_refusal(said)
        self.compare()

    def check_refusal(self, refused: Refused) -> None:
        """Hold a refusal against the account."""
        account, left = self.account, self.account.until - self.now
        if account.hold:
            assert (refused.why, refused.retry_after_s) == ("isolated", None)
        elif left > 0:
            assert (refused.why, refused.retry_after_s) == ("open", left)
        else:
            assert (refused.why, refused.retry_after_s) == ("half_open", None)

    def room(self) -> bool:
        """Whether a probe may start: permits of earlier lives take room too, until they are back or run out."""
        return len(self.on_lease()) < self.policy.probes

    def on_lease(self) -> list[Given]:
        """Return the probes under way."""
        return [item for item in self.given if item.leased and not item.is_back and item.ends >= self.now]

    def begin(self, item: Given) -> None:
        """Let the first token come."""
        if item.first_at is None and not item.is_back:
            item.first_at = self.now
            self.real.began(item.permit)

    def settle(self, item: Given, ending: str) -> None:
        """Give a permit back; if it comes late, or twice, nothing may change."""
        before = self.real.status()
        is_late = item.life != self.account.life or item.is_back or (item.leased and item.ends < self.now)
        item.is_back = True
        shown_at = self.now if item.first_at is None else item.first_at
        if not is_late:
            self.book(item, ending, slow=shown_at - item.started > (self.policy.slow_after_s or math.inf))
        if ending == "succeeded":
            self.real.succeeded(item.permit)
        elif ending == "failed":
            self.real.failed(item.permit, "NET003")
        else:
            self.real.ignored(item.permit)
        after = self.real.status()
        if is_late or ending == "ignored":
            assert (after.state, after.calls, after.trips) == (before.state, before.calls, before.trips)
            assert (after.consecutive, after.since_s) == (before.consecutive, before.since_s)
        self.compare()

    def book(self, item: Given, ending: str, *, slow: bool) -> None:
        """Write an ending into the account."""
        account = self.account
        overtaken = max(item.number - account.back, 0)
        account.back += not item.leased
        if ending == "ignored":
            return
        if not item.leased:
            account.seen.append((self.bucket(), ending == "failed", slow))
            if ending == "succeeded":
                account.answered.add(item.number)
                account.streak = 0
            elif all(number < item.number + 4 * self.policy.consecutive for number in account.answered):
                account.streak += 1
            if self.should_open(ending, overtaken, slow=slow):
                self.open()
        else:
            self.probed(ending, slow=slow)

    def probed(self, ending: str, *, slow: bool) -> None:
        """Write the ending of a probe into the account."""
        account, policy = self.account, self.policy
        if ending == "failed":
            account.failures += 1
            if account.answers == 0 or account.failures == policy.probes:
                self.open()
            return
        account.answers += 1
        account.slow_answers += slow
        if account.answers < policy.probes:
            return
        if account.slow_answers >= policy.slow_rate * account.answers:
            self.open()
        else:
            self.closings += 1
            account.become("closed", self.now)

    def should_open(self, ending: str, overtaken: int, *, slow: bool) -> bool:
        """Whether the closed circuit has seen enough."""
        calls, failures, slow_calls = self.counts()
        enough = calls >= self.policy.min_calls
        row = self.account.streak >= max(self.policy.consecutive, overtaken) and not self.is_chance(calls, failures)
        fails = row or (enough and failures / (calls + overtaken) >= 0.5 and self.is_rare(calls, failures))
        too_slow = enough and slow_calls / calls >= self.policy.slow_rate
        return (ending == "failed" and (fails or too_slow)) or (slow and too_slow)

    def is_chance(self, calls: int, failures: int) -> bool:
        """Whether so many failures in a row come by chance, as often as calls failed before them."""
        streak = self.account.streak
        before = calls - min(streak, failures)
        failed = max(failures - streak, 0)
        return before >= self.policy.min_calls and (failed / before) ** streak > 1e-7

    def is_rare(self, calls: int, failures: int) -> bool:
        """Whether that many failures are rare of what fails 30 times in 100, by Chernoff's bound as a product."""
        share = failures / calls
        chance: float = 0.3**calls
        if failures < calls:
            chance = ((0.3 / share) ** share * (0.7 / (1 - share)) ** (1 - share)) ** calls
        return chance <= 1e-3

    def open(self) -> None:
        """Open in the account, unless an operator keeps it closed."""
        account, now, policy = self.account, self.now, self.policy
        if account.hold:
            return
        if account.state == "closed" and now - account.since >= policy.window_s:
            account.trips = 0
        account.trips += 1
        account.become("open", now)
        rest = min(policy.open_s * 2 ** (account.trips - 1), policy.open_max_s)
        low, high = rest * (1 - 0.2), min(rest * (1 + 0.2), policy.open_max_s)
        account.until = now + low + self.drawn * (high - low)

    def order(self, word: str) -> None:
        """Do what an operator says."""
        account = self.account
        account.hold = ""
        if word == "force_open":
            self.real.force_open()
            self.open()
        else:
            account.trips = 0
            if word == "isolate":
                self.real.isolate()
            elif word == "reset":
                self.real.reset()
            else:
                self.real.force_closed()
            account.become("open" if word == "isolate" else "closed", self.now)
            account.hold = {"isolate": "isolated", "reset": "", "force_closed": "forced_closed"}[word]
        self.compare()

    def bucket(self) -> int:
        """Return the bucket of this instant."""
        return int(self.now * (self.policy.buckets / self.policy.window_s))

    def counts(self) -> tuple[int, int, int]:
        """Return calls, failures and slow calls of the window."""
        seen = [item for item in self.account.seen if item[0] > self.bucket() - self.policy.buckets]
        return len(seen), sum(failed for _, failed, _ in seen), sum(slow for _, _, slow in seen)

    def compare(self) -> None:
        """Hold the real circuit against the account."""
        account, status, now = self.account, self.real.status(), self.now
        is_due = account.state == "open" and not account.hold and now >= account.until
        assert status.state == (CircuitState.HALF_OPEN if is_due else account.state), (status, account)
        assert (status.hold, status.since_s) == (account.hold, now - account.since)
        assert status.consecutive == account.streak
        is_well = account.state == "closed" and now - account.since >= self.policy.window_s
        assert status.trips == (0 if is_well else account.trips)
        if account.state == "closed":
            assert (status.calls, status.failures, status.slow) == self.counts()
        assert len(self.on_lease()) <= self.policy.probes


@dataclass
class Played:
    """What a run of the model came across."""

    steps: int = 0
    closings: int = 0
    refusals: int = 0
    probes: int = 0


def play(seed: int, steps: int) -> Played:
    """Play random steps; the same seed plays the same ones. Also what a soak runs."""
    dice = random.Random(seed)
    model = CircuitModel()
    weights = (8, 1, 1)
    for _ in range(steps):
        model.drawn = dice.choice(DRAWS)
        what = dice.random()
        if what > 0.97:
            weights = dice.choice(((8, 1, 1), (1, 8, 1), (1, 1, 1)))
        if what < 0.15:
            model.move(dice.choice(MOVES))
        elif what < 0.5 or not model.given:
            model.admit()
        elif what < 0.55:
            model.begin(dice.choice(model.given[-6:]))
        elif what < 0.995:
            under_way = [item for item in model.given[-12:] if not item.is_back]
            is_first = under_way and dice.random() < 0.8
            model.settle(dice.choice(under_way if is_first else model.given[-4:]), dice.choices(ENDINGS, weights)[0])
        else:
            model.order(dice.choice(ORDERS))
    return Played(steps, model.closings, model.refusals, sum(item.leased for item in model.given))
