"""The numbers of behaviour.md 2.0b, typed in a second time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict

import pytest

from loomwire.domain import policies
from loomwire.domain.errors import LLMValidationError
from loomwire.domain.policies import (
    KIB,
    MIB,
    BalancePolicy,
    BreakerPolicy,
    ExhaustedPolicy,
    HealthPolicy,
    PoolPolicy,
    RatePolicy,
    RetryBudgetPolicy,
    RetryPolicy,
    TimeoutPolicy,
    TransportPolicy,
    WireLimits,
)

SECONDS = {
    "connect_s": 5,
    "pool_queue_s": 5,
    "ttft_s": 60,
    "idle_s": 60,
    "attempt_s": 600,
    "total_s": 900,
    "min_attempt_s": 0.25,
}


def test_the_defaults_are_the_documented_ones() -> None:
    assert (KIB, MIB) == (1024, 1024 * 1024)
    assert asdict(TimeoutPolicy()) == SECONDS
    assert asdict(PoolPolicy()) == {
        "max_connections": 100,
        "keepalive": 20,
        "keepalive_expiry_s": 30,
        "trust_env": False,
    }
    assert asdict(WireLimits()) == {
        "body": 24 * MIB,
        "stream": 64 * MIB,
        "event": MIB,
        "error_body": 64 * KIB,
        "headers": 64 * KIB,
        "json_depth": 64,
        "gzip_ratio": 100,
        "codings": 2,
        "request": 32 * MIB,
    }


def test_a_transport_without_words_is_that_of_the_other_defaults_and_stays_outside_private_networks() -> None:
    assert TransportPolicy() == TransportPolicy(
        PoolPolicy(), TimeoutPolicy().connect_s, TimeoutPolicy().pool_queue_s, allow_private=False, limits=WireLimits()
    )


def test_equal_policies_share_connections_because_they_are_one_key() -> None:
    assert len({TransportPolicy(), TransportPolicy(), TransportPolicy(allow_private=True)}) == 2


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("seconds", [-1.0, math.nan, -math.inf])
def test_a_time_below_nothing_is_refused(name: str, seconds: float) -> None:
    with pytest.raises(LLMValidationError, match=f"timeouts: {name} must be more than 0 seconds"):
        TimeoutPolicy(**{name: seconds})


@pytest.mark.parametrize("name", SECONDS)
def test_no_time_at_all_is_refused_except_as_the_least_that_must_be_left(name: str) -> None:
    if name == "min_attempt_s":
        assert TimeoutPolicy(min_attempt_s=0).min_attempt_s == 0
    else:
        with pytest.raises(LLMValidationError, match=name):
            TimeoutPolicy(**{name: 0.0})


@pytest.mark.parametrize("name", SECONDS)
def test_infinity_is_no_limit(name: str) -> None:
    assert asdict(TimeoutPolicy(**{name: math.inf})) == SECONDS | {name: math.inf}


RETRY = {
    "attempts": 3,
    "total_attempts": 8,
    "base_s": 0.5,
    "throttle_base_s": 1,
    "max_delay_s": 8,
    "retry_after_cap_s": 60,
    "hedge": False,
}
RETRY_BUDGET = {"ratio": 0.4, "floor_per_s": 2, "ttl_s": 10, "last_resort_ratio": 0.05}
BREAKER = {
    "window_s": 30,
    "buckets": 10,
    "min_calls": 10,
    "failure_rate": 0.5,
    "consecutive": 8,
    "slow_rate": 0.8,
    "slow_after_s": None,
    "open_s": 5,
    "open_max_s": 120,
    "probes": 3,
}
RATE = {"rpm": None, "tpm": None, "concurrency": None, "queue": 1000, "burst_s": 1}
BALANCE: dict[str, float | str | None] = {
    "policy": "ordered",
    "equals": "latency",
    "warmup_s": 30,
    "panic_probe_per_s": 1,
}
HEALTH: dict[str, float | str | None] = {"interval_s": 30, "timeout_s": 3, "paid_probe": False}

STEERING: dict[str, Mapping[str, float | str | None]] = {
    "RetryPolicy": RETRY,
    "RetryBudgetPolicy": RETRY_BUDGET,
    "BreakerPolicy": BREAKER,
    "RatePolicy": RATE,
    "BalancePolicy": BALANCE,
    "HealthPolicy": HEALTH,
}

# Block, policy, name, lowest and highest value that is taken, and one beyond each end.
EDGES: list[tuple[str, str, str, float, float, float, float]] = [
    ("retry", "RetryPolicy", "attempts", 1, 5, 0, 6),
    ("retry", "RetryPolicy", "total_attempts", 1, 40, 0, 41),
    *[("retry", "RetryPolicy", name, 0, 31_536_000, -0.1, math.inf) for name in RETRY if name.endswith("_s")],
    ("retry_budget", "RetryBudgetPolicy", "ratio", 0, 1, -0.1, 1.1),
    ("retry_budget", "RetryBudgetPolicy", "last_resort_ratio", 0, 1, -0.1, 1.1),
    ("retry_budget", "RetryBudgetPolicy", "floor_per_s", 0, math.inf, -1, math.nan),
    ("retry_budget", "RetryBudgetPolicy", "ttl_s", 0.001, 31_536_000, 0, math.inf),
    *[("breaker", "BreakerPolicy", n, 1, 10**6, 0, 10**7) for n in ("buckets", "min_calls", "consecutive", "probes")],
    *[("breaker", "BreakerPolicy", name, 0, 1, -0.1, 1.1) for name in ("failure_rate", "slow_rate")],
    *[
        ("breaker", "BreakerPolicy", name, 0.001, 31_536_000, 0, math.inf)
        for name in ("window_s", "slow_after_s", "open_s", "open_max_s")
    ],
    *[("rate", "RatePolicy", name, 1, 10**12, 0, 10**13) for name in ("rpm", "tpm", "concurrency")],
    ("rate", "RatePolicy", "queue", 0, 10**9, -1, 10**10),
    ("rate", "RatePolicy", "burst_s", 0, 31_536_000, -0.1, math.inf),
    *[("balance", "BalancePolicy", n, 0, 31_536_000, -0.1, math.inf) for n in ("warmup_s", "panic_probe_per_s")],
    ("health", "HealthPolicy", "interval_s", 0, 31_536_000, -0.1, math.inf),
    ("health", "HealthPolicy", "timeout_s", 0.001, 31_536_000, 0, math.inf),
]


def with_number(policy: str, name: str, value: float | None) -> dict[str, float | None]:
    """Return the numbers of a policy that is made with one of them; by name, because some of them are integers."""
    made: dict[str, float | None] = asdict(getattr(policies, policy)(**{name: value}))
    return made


def test_the_defaults_that_steer_a_call_are_the_documented_ones() -> None:
    assert asdict(RetryPolicy()) == RETRY
    assert asdict(RetryBudgetPolicy()) == RETRY_BUDGET
    assert asdict(BreakerPolicy()) == BREAKER
    assert asdict(RatePolicy()) == RATE
    assert asdict(BalancePolicy()) == BALANCE
    assert asdict(HealthPolicy()) == HEALTH
    assert asdict(ExhaustedPolicy()) == {"mode": "raise", "text": "", "function": ""}


@pytest.mark.parametrize(("block", "policy", "name", "low", "high", "below", "above"), EDGES)
def test_a_number_is_taken_up_to_its_ends_and_refused_by_name_beyond_them(
    block: str, policy: str, name: str, low: float, high: float, below: float, above: float
) -> None:
    assert with_number(policy, name, low)[name] == low
    assert with_number(policy, name, high)[name] == high
    for wrong in (below, above, math.nan, -math.inf):
        with pytest.raises(LLMValidationError, match=f"{block}: {name} must be "):
            with_number(policy, name, wrong)


def test_every_number_that_steers_a_call_has_its_ends_tested() -> None:
    assert {(policy, name) for _, policy, name, *_ in EDGES} == {
        (policy, name)
        for policy, numbers in STEERING.items()
        for name, number in numbers.items()
        if not isinstance(number, bool | str)
    }


@pytest.mark.parametrize("name", ["rpm", "tpm", "concurrency"])
def test_no_limit_is_the_pace_of_whoever_says_nothing(name: str) -> None:
    assert with_number("RatePolicy", name, None)[name] is None


def test_a_refusal_says_which_numbers_are_taken() -> None:
    with pytest.raises(LLMValidationError, match=r"attempts must be 1 to 5, not 9"):
        RetryPolicy(attempts=9)
    with pytest.raises(LLMValidationError, match=r"floor_per_s must be 0 or more, not -1"):
        RetryBudgetPolicy(floor_per_s=-1)
    with pytest.raises(LLMValidationError, match=r"open_s must be more than 0 seconds and at most a year, not 0"):
        BreakerPolicy(open_s=0)
