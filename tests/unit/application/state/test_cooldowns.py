from __future__ import annotations

import pytest

from loomwire.application.state.cooldowns import LONGEST_S, Cooldowns, RestKey
from loomwire.domain.errors import (
    LLMAuthenticationError,
    LLMNotFoundError,
    LLMRateLimitError,
    LLMTemporaryError,
    LoomError,
)

SCOPES: list[tuple[LoomError, list[bool]]] = [
    (LLMAuthenticationError("who"), [True, True, False]),
    (LLMRateLimitError("slow"), [True, False, False]),
    (LLMNotFoundError("none"), [True, False, True]),
    (LLMTemporaryError("down"), [False, False, False]),
]


@pytest.mark.parametrize(("error", "rests"), SCOPES, ids=[error.reason for error, _ in SCOPES])
def test_a_failure_lets_rest_what_it_says_something_about(error: LoomError, rests: list[bool]) -> None:
    cooldowns = Cooldowns()
    failed = cooldowns.candidate("p", "k1", "x")
    failed.failed(error, 0.0)
    same, other_model, other_key = (
        cooldowns.candidate("p", "k1", "x"),
        cooldowns.candidate("p", "k1", "y"),
        cooldowns.candidate("p", "k2", "x"),
    )
    assert [one.left_s(0.0) > 0 for one in (same, other_model, other_key)] == rests
    assert [one.reason(0.0) for one in (same, other_model, other_key)] == [error.reason if one else "" for one in rests]
    assert cooldowns.candidate("q", "k1", "x").left_s(0.0) == 0


@pytest.mark.parametrize(
    ("asked", "rest_s"), [(None, 1.0), (7.5, 7.5), (0.0, 0.0), (-1.0, 1.0), (float("nan"), 1.0), (1e300, LONGEST_S)]
)
def test_a_rest_is_as_long_as_the_provider_asks_within_reason(asked: float | None, rest_s: float) -> None:
    resting = Cooldowns().candidate("p", "k", "x")
    resting.failed(LLMRateLimitError("slow", retry_after=asked), 10.0)
    assert resting.left_s(10.0) == rest_s
    assert resting.left_s(10.0 + rest_s) == 0


def test_a_shorter_rest_does_not_end_a_longer_one() -> None:
    resting = Cooldowns().candidate("p", "k", "x")
    resting.failed(LLMAuthenticationError("who"), 0.0)
    resting.failed(LLMAuthenticationError("who", retry_after=1.0), 0.0)
    resting.failed(LLMRateLimitError("slow", retry_after=2.0), 0.0)
    assert (resting.left_s(0.0), resting.reason(0.0)) == (60.0, "credentials")


def test_what_rests_is_told_longest_first() -> None:
    cooldowns = Cooldowns()
    resting = cooldowns.candidate("p", "k", "x")
    resting.failed(LLMRateLimitError("slow"), 0.0)
    resting.failed(LLMNotFoundError("none"), 0.0)
    told = [(status.what, status.rest_s, status.reason) for status in cooldowns.statuses(0.5)]
    assert told == [(RestKey("p", "", "x"), 59.5, "model"), (RestKey("p", "k", "x"), 0.5, "throttled")]
    assert cooldowns.statuses(60.0) == ()


def test_a_dead_key_is_remembered_until_its_rest_is_over_whatever_is_configured() -> None:
    cooldowns = Cooldowns()
    cooldowns.candidate("p", "dead", "x").failed(LLMAuthenticationError("who"), 0.0)
    cooldowns.candidate("p", "kept", "x")
    cooldowns.retain({("p", "kept", "x")}, 1.0)
    assert cooldowns.candidate("p", "dead", "x").left_s(1.0) == 59.0
    gone, kept = cooldowns.candidate("p", "dead", "x"), cooldowns.candidate("p", "kept", "x")
    cooldowns.retain({("p", "kept", "x")}, 61.0)
    for resting in (gone, kept):
        resting.failed(LLMRateLimitError("slow"), 61.0)
    assert [cooldowns.candidate("p", key, "x").left_s(61.0) for key in ("dead", "kept")] == [0.0, 1.0]


def test_a_forked_child_does_not_wait_for_a_lock_of_its_parent() -> None:
    cooldowns = Cooldowns()
    resting = cooldowns.candidate("p", "k", "x")
    cooldowns.after_fork()
    cooldowns._lock.acquire()
    cooldowns.after_fork()
    resting.failed(LLMAuthenticationError("who"), 0.0)
    assert resting.left_s(0.0) == 60.0
