"""How many retries an endpoint, and the whole process, can still afford. Outlives every reload."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from loomwire.application.forks import renew_after_fork
from loomwire.domain.policies import RetryBudgetPolicy

# Deposits this close together expire together; it bounds the memory of a bucket, whatever the traffic.
_SLOTS = 10
# The dearest retry, that of a timeout, must fit into every floor, or it would never be allowed.
_DEAREST = 2.0
# A floor that nobody used for longer is not a reserve for a storm.
_FLOOR_S = 10.0
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """What a bucket of retries did.

    Attributes:
        available: Tokens it could give now.
        taken: Tokens it gave.
        denied: Retries it refused.
    """

    available: float
    taken: float
    denied: int


class TokenBucket:
    """Retries earned by first attempts, each good for some seconds, and a floor that refills by itself.

    The numbers come with every call, so that a reload changes them and nothing else. Safe for several threads; the lock
    is held for about a microsecond.
    """

    __slots__ = ("_denied", "_floor", "_floor_at", "_lock", "_slots", "_taken")

    def __init__(self) -> None:
        """Start with nothing earned; the floor is full at its first use."""
        self._lock = threading.Lock()
        self._slots: deque[tuple[float, float]] = deque()
        self._floor: float | None = None
        self._floor_at = 0.0
        self._taken = 0.0
        self._denied = 0

    def earn(self, tokens: float, ttl_s: float, now: float) -> None:
        """Add tokens that are good for `ttl_s` seconds, or up to a tenth less."""
        if tokens <= 0:
            return
        with self._lock:
            slots = self._slots
            if slots:
                made_at, there = slots[-1]
                if now - made_at < ttl_s / _SLOTS:
                    slots[-1] = (made_at, there + tokens)
                    return
                self._expire(ttl_s, now)
            slots.append((now, tokens))

    def take(self, cost: float, ttl_s: float, floor_per_s: float, now: float) -> bool:
        """Take `cost` tokens, the oldest first and the floor's last; take none and return False when they do not do."""
        with self._lock:
            available = self._available(ttl_s, floor_per_s, now)
            if available + _ROUNDING < cost:
                self._denied += 1
                return False
            self._taken += cost
            while self._slots and cost > 0:
                made_at, there = self._slots.popleft()
                if there > cost:
                    self._slots.appendleft((made_at, there - cost))
                cost = max(0.0, cost - there)
            if self._floor is not None:
                self._floor = max(0.0, self._floor - cost)
            return True

    def give_back(self, tokens: float, ttl_s: float, now: float) -> None:
        """Return tokens whose retry was never sent."""
        self.earn(tokens, ttl_s, now)
        with self._lock:
            self._taken -= tokens

    def counts(self, ttl_s: float, floor_per_s: float, now: float) -> TokenCounts:
        """Return what it did so far, and what it has."""
        with self._lock:
            return TokenCounts(self._available(ttl_s, floor_per_s, now), self._taken, self._denied)

    def after_fork(self) -> None:
        """Take a lock of its own in a child."""
        self._lock = threading.Lock()

    def _available(self, ttl_s: float, floor_per_s: float, now: float) -> float:
        self._expire(ttl_s, now)
        return sum(there for _, there in self._slots) + self._refilled(ttl_s, floor_per_s, now)

    def _refilled(self, ttl_s: float, floor_per_s: float, now: float) -> float:
        if floor_per_s <= 0:
            return 0.0
        full = max(_DEAREST, floor_per_s * min(max(ttl_s, 1.0), _FLOOR_S))
        # Times of several threads may come in the wrong order by a hair.
        passed = max(0.0, now - self._floor_at)
        if self._floor is None or passed * floor_per_s >= full:
            self._floor = full
        elif passed:
            self._floor = min(full, self._floor + passed * floor_per_s)
        self._floor_at = max(now, self._floor_at)
        return self._floor

    def _expire(self, ttl_s: float, now: float) -> None:
        while self._slots and now - self._slots[0][0] >= ttl_s:
            self._slots.popleft()


class RetryAllowance:
    """What one client's policy may draw on: the endpoint's bucket, and the process's last one. Made at build time.

    Args:
        policy: The numbers.
        endpoint: The endpoint's bucket.
        last_resort: The bucket of the whole process.
    """

    __slots__ = ("_endpoint", "_last_resort", "_policy")

    def __init__(self, policy: RetryBudgetPolicy, endpoint: TokenBucket, last_resort: TokenBucket) -> None:
        """Join the numbers to the state."""
        self._policy = policy
        self._endpoint = endpoint
        self._last_resort = last_resort

    def first_sent(self, now: float) -> None:
        """Earn for a first attempt on the endpoint, a fallback's too."""
        policy = self._policy
        self._endpoint.earn(policy.ratio, policy.ttl_s, now)
        self._last_resort.earn(policy.last_resort_ratio, policy.ttl_s, now)

    def take(self, cost: float, now: float, *, further: bool) -> TokenBucket | None:
        """Pay for one more send.

        Args:
            cost: 1, or 2 after a timeout, which held the endpoint the longest.
            now: Monotonic seconds.
            further: Whether another target can be asked; only without one the last resort pays.

        Returns:
            The bucket that paid, for `give_back`; None when nobody can.
        """
        policy = self._policy
        if self._endpoint.take(cost, policy.ttl_s, policy.floor_per_s, now):
            return self._endpoint
        if not further and self._last_resort.take(cost, policy.ttl_s, 0.0, now):
            return self._last_resort
        return None

    def give_back(self, bucket: TokenBucket, cost: float, now: float) -> None:
        """Return what `take` paid for a send that never was."""
        bucket.give_back(cost, self._policy.ttl_s, now)

    def counts(self, now: float) -> TokenCounts:
        """Return what the endpoint's bucket did and has."""
        return self._endpoint.counts(self._policy.ttl_s, self._policy.floor_per_s, now)


class RetryTokens:
    """The buckets of all endpoints, and the last resort of the process. Safe for several threads."""

    def __init__(self) -> None:
        """Start without endpoints."""
        self._buckets: dict[str, TokenBucket] = {}
        self._last_resort = TokenBucket()
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Go on in a child; another thread of the parent may have held a lock."""
        self._lock = threading.Lock()
        for bucket in (self._last_resort, *self._buckets.values()):
            bucket.after_fork()

    def allowance(self, endpoint: str, policy: RetryBudgetPolicy) -> RetryAllowance:
        """Return what a policy may draw on; the same endpoint has the same bucket for ever. Called at build time."""
        with self._lock:
            bucket = self._buckets.get(endpoint)
            if bucket is None:
                bucket = self._buckets[endpoint] = TokenBucket()
        return RetryAllowance(policy, bucket, self._last_resort)

    def retain(self, endpoints: Collection[str]) -> None:
        """Forget the buckets of all other endpoints."""
        with self._lock:
            self._buckets = {name: bucket for name, bucket in self._buckets.items() if name in endpoints}
