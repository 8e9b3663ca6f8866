"""The retry budget: what first attempts earn, what the floor gives, and that nobody takes more."""

from __future__ import annotations

import math
import threading

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from loomwire.application.state.retry_tokens import RetryAllowance, RetryTokens, TokenBucket
from loomwire.domain.policies import RetryBudgetPolicy

NO_FLOOR = RetryBudgetPolicy(floor_per_s=0.0, last_resort_ratio=0.0)


def allowance(policy: RetryBudgetPolicy = NO_FLOOR) -> RetryAllowance:
    """Return what a policy may draw on at an endpoint of its own."""
    return RetryTokens().allowance("http://one", policy)


def taken(allowed: RetryAllowance, now: float, cost: float = 1.0, *, further: bool = True) -> int:
    """Take until there is no more; return how often it was given, at most 1,000 times."""
    count = 0
    while count < 1000 and allowed.take(cost, now, further=further):
        count += 1
    return count


def test_five_first_attempts_earn_two_retries() -> None:
    allowed = allowance()
    for number in range(5):
        allowed.first_sent(number / 10)
    assert taken(allowed, 1.0) == 2


def test_a_timeout_costs_two() -> None:
    allowed = allowance()
    for _ in range(10):
        allowed.first_sent(0.0)
    assert taken(allowed, 0.0, cost=2.0) == 2


def test_what_was_earned_is_gone_after_its_time() -> None:
    allowed = allowance()
    for _ in range(5):
        allowed.first_sent(0.0)
    assert allowed.counts(9.9).available == 2.0
    assert taken(allowed, 10.0) == 0


def test_the_oldest_tokens_go_first_and_the_floors_last() -> None:
    allowed = allowance(RetryBudgetPolicy(floor_per_s=1.0, ttl_s=10.0))
    for now in (0.0, 0.0, 0.0, 5.0, 5.0, 5.0):
        allowed.first_sent(now)
    assert allowed.counts(5.0).available == 12.4
    assert allowed.take(1.0, 5.0, further=True) is not None
    # Of the 1.2 tokens of the first second 0.2 are left to expire; the floor was not touched.
    assert math.isclose(allowed.counts(10.0).available, 11.2)


def test_a_floor_refills_and_holds_ten_seconds_at_most() -> None:
    allowed = allowance(RetryBudgetPolicy(ratio=0.0, last_resort_ratio=0.0))
    assert taken(allowed, 0.0) == 20
    assert taken(allowed, 0.4) == 0
    assert taken(allowed, 0.5) == 1
    assert taken(allowed, 2.0) == 3
    assert taken(allowed, 1e6) == 20


def test_even_the_smallest_floor_allows_the_retry_of_a_timeout() -> None:
    allowed = allowance(RetryBudgetPolicy(ratio=0.0, floor_per_s=0.01, ttl_s=1.0))
    assert taken(allowed, 0.0, cost=2.0) == 1
    assert taken(allowed, 100.0, cost=2.0) == 0
    assert taken(allowed, 200.0, cost=2.0) == 1


def test_a_floor_without_end_never_refuses() -> None:
    allowed = allowance(RetryBudgetPolicy(floor_per_s=math.inf))
    assert taken(allowed, 0.0) == taken(allowed, 1.0) == 1000


def test_nothing_earned_and_no_floor_is_no_retry() -> None:
    allowed = allowance(RetryBudgetPolicy(ratio=0.0, floor_per_s=0.0, last_resort_ratio=0.0))
    allowed.first_sent(0.0)
    assert taken(allowed, 0.0, further=False) == 0
    assert allowed.counts(0.0).denied == 1


def test_only_a_call_without_a_further_target_draws_on_the_last_resort() -> None:
    tokens = RetryTokens()
    policy = RetryBudgetPolicy(ratio=0.0, floor_per_s=0.0, last_resort_ratio=0.05)
    busy, lonely = tokens.allowance("http://busy", policy), tokens.allowance("http://lonely", policy)
    for _ in range(40):
        busy.first_sent(0.0)
    assert taken(lonely, 0.0, further=True) == 0
    assert taken(lonely, 0.0, further=False) == 2


def test_a_retry_that_was_never_sent_is_given_back_to_whoever_paid() -> None:
    allowed = allowance(RetryBudgetPolicy(ratio=0.5, floor_per_s=0.0, last_resort_ratio=0.0))
    allowed.first_sent(0.0)
    allowed.first_sent(0.0)
    bucket = allowed.take(1.0, 1.0, further=True)
    assert bucket is not None
    assert allowed.counts(1.0).taken == 1.0
    allowed.give_back(bucket, 1.0, 2.0)
    assert (allowed.counts(2.0).taken, allowed.counts(2.0).available) == (0.0, 1.0)


def test_an_endpoint_keeps_its_bucket_over_reloads_and_takes_new_numbers_at_once() -> None:
    tokens = RetryTokens()
    before = tokens.allowance("http://one", NO_FLOOR)
    for _ in range(5):
        before.first_sent(0.0)
    shorter = tokens.allowance("http://one", RetryBudgetPolicy(floor_per_s=0.0, ttl_s=3.0))
    assert shorter.counts(2.0).available == 2.0
    assert shorter.counts(3.0).available == 0.0
    assert tokens.allowance("http://two", NO_FLOOR).counts(0.0).available == 0.0


def test_a_bucket_never_keeps_more_than_eleven_deposits_apart() -> None:
    bucket = TokenBucket()
    for number in range(10_000):
        bucket.earn(0.4, 10.0, number / 100)
    assert len(bucket._slots) <= 11


def test_threads_cannot_take_a_token_twice() -> None:
    allowed = allowance()
    for _ in range(500):
        allowed.first_sent(0.0)
    got: list[int] = []
    threads = [threading.Thread(target=lambda: got.append(taken(allowed, 0.0))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(got) == 200


def test_a_child_takes_locks_of_its_own_and_keeps_what_was_earned() -> None:
    tokens = RetryTokens()
    allowed = tokens.allowance("http://one", NO_FLOOR)
    for _ in range(5):
        allowed.first_sent(0.0)
    with tokens._lock, allowed._endpoint._lock:
        tokens.after_fork()
    assert taken(tokens.allowance("http://one", NO_FLOOR), 0.0) == 2


class BucketMachine(RuleBasedStateMachine):
    """A bucket beside the plainest of models: a list of deposits that expire, and a floor that was taken from."""

    TTL_S = 10.0
    FLOOR = 2.0

    def __init__(self) -> None:
        super().__init__()
        self.bucket = TokenBucket()
        self.now = 0.0
        self.earned: list[tuple[float, float]] = []
        self.taken: list[tuple[float, float]] = []

    @rule(seconds=st.floats(0.01, 15.0))
    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @rule(count=st.integers(1, 20))
    def send(self, count: int) -> None:
        """Earn for first attempts."""
        for _ in range(count):
            self.bucket.earn(0.4, self.TTL_S, self.now)
            self.earned.append((self.now, 0.4))

    @rule(cost=st.sampled_from([1.0, 2.0]))
    def take(self, cost: float) -> None:
        """Ask for a retry; it is refused only when there is less than its cost."""
        available = self.bucket.counts(self.TTL_S, self.FLOOR, self.now).available
        given_ = self.bucket.take(cost, self.TTL_S, self.FLOOR, self.now)
        assert given_ == (available + 1e-6 >= cost)
        if given_:
            self.taken.append((self.now, cost))

    @invariant()
    def nobody_takes_more_than_was_there(self) -> None:
        """In no span more is taken than was earned in it and a ttl before, the floor's refill, and a full floor."""
        for start in {at for at, _ in self.taken}:
            taken_ = sum(cost for at, cost in self.taken if at >= start)
            earned = sum(tokens for at, tokens in self.earned if at > start - self.TTL_S - 1e-9)
            assert taken_ <= earned + self.FLOOR * (self.now - start) + 20.0 + 1e-6

    @invariant()
    def the_newest_deposits_are_there(self) -> None:
        """What was earned within nine tenths of the ttl, less everything taken, is available."""
        fresh = sum(tokens for at, tokens in self.earned if self.now - at < self.TTL_S * 0.9)
        available = self.bucket.counts(self.TTL_S, self.FLOOR, self.now).available
        spent = sum(cost for at, cost in self.taken if self.now - at < self.TTL_S * 2)
        assert available + spent + 1e-6 >= fresh


TestBucketMachine = BucketMachine.TestCase
TestBucketMachine.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def test_a_floor_is_not_refilled_twice_for_one_second_by_threads_whose_times_cross() -> None:
    allowed = allowance(RetryBudgetPolicy(ratio=0.0, floor_per_s=1.0, last_resort_ratio=0.0))
    assert taken(allowed, 0.0) == 10
    assert [taken(allowed, now) for now in (1.0, 0.0, 1.0, 0.5, 1.0)] == [1, 0, 0, 0, 0]


@given(st.lists(st.floats(0, 1000), max_size=30), st.floats(0.1, 50.0))
def test_times_out_of_order_never_make_tokens(times: list[float], ttl_s: float) -> None:
    bucket = TokenBucket()
    given_ = sum(bucket.take(1.0, ttl_s, 1.0, now) for now in times)
    span = max(times) - min(times) if times else 0.0
    assert given_ <= max(2.0, 10.0) + span + 1e-6


def test_buckets_of_endpoints_that_are_gone_are_forgotten_and_the_last_resort_stays() -> None:
    tokens = RetryTokens()
    policy = RetryBudgetPolicy(ratio=1.0, floor_per_s=0.0, last_resort_ratio=1.0)
    for endpoint in ("kept", "gone"):
        tokens.allowance(endpoint, policy).first_sent(0.0)
    tokens.retain({"kept"})
    assert tokens.allowance("kept", policy).counts(0.0).available == 1.0
    assert tokens.allowance("gone", policy).counts(0.0).available == 0.0
    assert taken(tokens.allowance("gone", policy), 0.0, further=False) == 2
