"""How long a retry waits, over any numbers: never early, never too late to start."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.application.resilience.delays import GiveUp, Sent, delay, next_delay, sends_of
from loomwire.domain.errors import llm_error
from loomwire.domain.policies import RetryPolicy
from loomwire.domain.reports.steps import Step

POLICY = RetryPolicy()
NUMBERS = st.floats(0, 100)
POLICIES = st.builds(
    RetryPolicy, base_s=NUMBERS, throttle_base_s=NUMBERS, max_delay_s=NUMBERS, retry_after_cap_s=NUMBERS
)


def always(number: float) -> Callable[[], float]:
    """Return a chance that always gives one number."""
    return lambda: number


def longest(tried: int, named_s: float | None = None, *, throttled: bool = False) -> float | GiveUp:
    """Return the longest delay there is without a deadline."""
    return delay(POLICY, tried, named_s, throttled=throttled, left_s=math.inf, draw=always(1.0))


def test_the_longest_delay_doubles_with_every_try_up_to_its_maximum() -> None:
    assert [longest(tried) for tried in range(1, 7)] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


def test_a_rate_limit_that_names_no_wait_starts_with_its_own_base() -> None:
    assert [longest(tried, throttled=True) for tried in range(1, 6)] == [1.0, 2.0, 4.0, 8.0, 8.0]


def test_a_delay_of_our_own_may_be_none_at_all() -> None:
    assert delay(POLICY, 4, None, left_s=math.inf, draw=always(0.0)) == 0.0


def test_a_wait_that_was_asked_for_is_kept_and_spread_by_a_tenth() -> None:
    assert delay(POLICY, 1, 30.0, left_s=math.inf, draw=always(0.0)) == 30.0
    assert longest(1, 30.0) == longest(5, 30.0) == 33.0


def test_a_short_wait_that_was_asked_for_is_spread_by_the_throttling_base() -> None:
    assert delay(POLICY, 1, 0.5, left_s=math.inf, draw=always(0.0)) == 0.5
    assert longest(1, 0.5) == 1.5


@pytest.mark.parametrize("named", [math.nan, -1.0, -math.inf, 0.0, -0.0])
def test_a_wait_that_is_none_is_not_asked_for(named: float) -> None:
    assert longest(1, named) == 0.5


@pytest.mark.parametrize("named", [60.001, 1e308, math.inf])
def test_a_wait_beyond_the_cap_is_not_waited_for(named: float) -> None:
    assert longest(1, named) is GiveUp.WAIT
    assert longest(1, 60.0) == 66.0


def test_a_wait_that_ends_too_late_is_not_begun() -> None:
    assert delay(POLICY, 1, 3.0, left_s=2.9, draw=always(0.0)) is GiveUp.TIME
    assert delay(POLICY, 1, None, left_s=-0.1, draw=always(0.0)) is GiveUp.TIME
    assert delay(POLICY, 1, 3.0, left_s=3.0, draw=always(1.0)) == 3.0


@given(
    policy=POLICIES,
    tried=st.integers(1, 5),
    named=st.none() | st.floats(),
    left=st.floats(-10, 1000) | st.just(math.inf),
    throttled=st.booleans(),
    chance=st.floats(0, 1),
)
def test_no_wait_is_shorter_than_asked_for_longer_than_fits_or_no_number(
    policy: RetryPolicy, tried: int, named: float | None, left: float, throttled: bool, chance: float
) -> None:
    wait = delay(policy, tried, named, throttled=throttled, left_s=left, draw=always(chance))
    asked = named if named is not None and named > 0 else 0.0
    if isinstance(wait, GiveUp):
        assert (wait is GiveUp.WAIT) == (asked > policy.retry_after_cap_s)
        assert wait is GiveUp.WAIT or left < asked
    else:
        assert asked <= wait <= left
        assert wait <= max(policy.max_delay_s, asked + max(asked / 10, policy.throttle_base_s))


def decided(reason: str, sent: Sent, retry_after: float | None = None, policy: RetryPolicy = POLICY) -> float | GiveUp:
    """Return the decision after a failure, with the longest delay and no deadline."""
    error = llm_error(reason, "failed", retry_after=retry_after)
    return next_delay(policy, error, sent, left_s=math.inf, draw=always(1.0))


def test_the_attempts_of_a_target_end_the_retries() -> None:
    assert decided("server", Sent(2)) == 1.0
    assert decided("server", Sent(3)) is GiveUp.ATTEMPTS


def test_the_total_of_a_call_ends_the_retries_wherever_they_were_sent() -> None:
    assert decided("server", Sent(1, before=6)) == 0.5
    assert decided("server", Sent(1, before=7)) is GiveUp.TOTAL


def test_a_reason_with_a_limit_of_its_own_is_tried_again_that_often_and_no_more() -> None:
    assert decided("protocol", Sent(1)) == 0.5
    assert decided("protocol", Sent(2, alike=0)) == 1.0
    assert decided("protocol", Sent(2, alike=1)) is GiveUp.LIMIT


def test_a_rate_limit_waits_by_its_category_and_any_failure_by_the_wait_it_names() -> None:
    assert decided("throttled", Sent(1)) == 1.0
    assert decided("throttled", Sent(1), retry_after=20.0) == 22.0
    assert decided("overloaded", Sent(1), retry_after=20.0) == 22.0


def test_only_the_steps_of_attempts_are_sends() -> None:
    steps = [Step("attempt"), Step("retry"), Step("attempt"), Step("fallback"), Step("breaker")]
    assert sends_of(steps) == 2
    assert sends_of(()) == 0
