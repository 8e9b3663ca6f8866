"""The numbers of behaviour.md 2.0b, typed in a second time."""

from __future__ import annotations

import math
from dataclasses import asdict

import pytest

from loomwire.domain.errors import LLMValidationError
from loomwire.domain.policies import KIB, MIB, PoolPolicy, TimeoutPolicy, TransportPolicy, WireLimits

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
