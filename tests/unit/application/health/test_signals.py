"""What is not well with a target is named, and whoever reads it knows what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from loomwire.application.health.blame import Lately, counts_against, failures
from loomwire.application.health.facts import WINDOW_S, Facts, Look
from loomwire.application.health.judging import provider_health, target_health
from loomwire.application.health.rests import KeyRest, rests_of
from loomwire.application.health.signals import SIGNS, signs_of
from loomwire.application.state.breaking.permits import CircuitState, CircuitStatus, Hold
from loomwire.application.state.cooldowns import Cooldowns
from loomwire.application.state.counts import CallCounts
from loomwire.application.state.keys import key_id
from loomwire.application.state.pacing.statistics import LaneStatistics
from loomwire.application.state.stats import Ended
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import llm_error
from loomwire.domain.policies import BreakerPolicy, RatePolicy, TimeoutPolicy
from loomwire.domain.reports.health import HealthState
from loomwire.domain.reports.reach import Reach
from loomwire.domain.values import Secret

NOW = 1000.0
MODEL = LLMConfig(type="openai", name="vendor", model="big-1", keys=(Secret("sk-one"),))
LANE = LaneStatistics(
    in_use=2, waiting=0, longest_wait_s=0.0, granted=9, refused=0, requests=9, tokens=0, paused_s=0.0, fill=0.25
)


def endings(*ended: tuple[float, str], took_s: float = 0.2) -> tuple[Ended, ...]:
    """Return calls that ended so many seconds ago with a code, "" for an answer."""
    return tuple((NOW - ago, took_s, code) for ago, code in ended)


def known(
    *ended: tuple[float, str],
    config: LLMConfig = MODEL,
    took_s: float = 0.2,
    circuit: CircuitStatus | None = None,
    lanes: tuple[LaneStatistics, ...] = (),
    rests: tuple[KeyRest, ...] = (),
    look: tuple[float, Reach] | None = None,
) -> Facts:
    """Return facts at the instant NOW."""
    said = endings(*ended, took_s=took_s)
    return Facts(
        config=config,
        now=NOW,
        endings=said,
        lately=Lately.since(NOW - WINDOW_S, said),
        circuit=circuit,
        lanes=lanes,
        rests=rests,
        look=None if look is None else Look(NOW - look[0], look[1]),
    )


def status(state: CircuitState, hold: Hold = "", error: str = "NET002", wait_s: float | None = 3.0) -> CircuitStatus:
    """Return a circuit's status, twelve seconds old."""
    return CircuitStatus("vendor/big-1", state, hold, "consecutive", error, 12.0, wait_s)


def refused(code: str, message: str = "no") -> Reach:
    """Return a look that failed."""
    return Reach(answered=False, asked="GET /v1/models", code=code, message=message)


OPEN = status(CircuitState.OPEN)
LISTED = Reach(answered=True, asked="GET /v1/models", models=("big-10", "small"))

# What is known, the word and the state, and what the advice must say.
CASES: Mapping[str, tuple[Facts, str, HealthState, tuple[str, ...]]] = {
    "open": (
        known((1, "NET002"), circuit=OPEN),
        "circuit_open",
        HealthState.UNHEALTHY,
        ("vendor/big-1 opened 12 s ago", "NET002 (refused)", "Is the server running", "another 3 s"),
    ),
    "open for a reason nobody knows, until nobody knows when": (
        known(circuit=replace(OPEN, error="", retry_after_s=None)),
        "circuit_open",
        HealthState.UNHEALTHY,
        ("opened 12 s ago. Nothing is sent to vendor/big-1.",),
    ),
    "opened by an operator": (
        known(circuit=replace(OPEN, reason="forced", error="")),
        "circuit_open",
        HealthState.UNHEALTHY,
        ("opened 12 s ago, because an operator decided so: `loomwire breaker reset vendor/big-1` closes it.",),
    ),
    "isolated": (
        known(circuit=status(CircuitState.OPEN, "isolated")),
        "isolated",
        HealthState.UNHEALTHY,
        ("operator", "reset"),
    ),
    "half open": (known(circuit=status(CircuitState.HALF_OPEN)), "half_open", HealthState.DEGRADED, ("half open",)),
    "the key is refused": (
        known((9, ""), (1, "AUT001")),
        "credentials",
        HealthState.UNHEALTHY,
        ("AUT001", "providers.vendor.api_key", "loomwire explain key"),
    ),
    "a look found the key refused": (
        known(look=(1, refused("AUT001"))),
        "credentials",
        HealthState.UNHEALTHY,
        ("providers.vendor.api_key",),
    ),
    "the key may not": (known((1, "PER001")), "denied", HealthState.UNHEALTHY, ("does not allow the key",)),
    "the money is gone": (known((1, "PER002")), "quota_exhausted", HealthState.UNHEALTHY, ("top up",)),
    "one key of two is refused": (
        known(
            (1, ""),
            config=replace(MODEL, keys=(Secret("sk-one"), Secret("sk-two"))),
            rests=(KeyRest(2, 50.0, "credentials"),),
        ),
        "credentials",
        HealthState.DEGRADED,
        ("providers.vendor.keys (number 2 of 2)",),
    ),
    "the only key rests": (
        known(rests=(KeyRest(1, 50.0, "denied"),)),
        "denied",
        HealthState.UNHEALTHY,
        ("providers.vendor.api_key the right",),
    ),
    "the model is refused": (
        known((2, "NOT001"), look=(1, LISTED)),
        "model",
        HealthState.UNHEALTHY,
        ("does not know the model 'big-1'", "Did you mean 'big-10'?", "It has: big-10, small."),
    ),
    "the model is not listed": (
        known(look=(1, LISTED)),
        "model",
        HealthState.DEGRADED,
        ("does not list the model 'big-1'",),
    ),
    "a model that an Ollama server does not have": (
        known(config=replace(MODEL, type="ollama"), look=(1, Reach(answered=True, models=()))),
        "model",
        HealthState.DEGRADED,
        ("ollama pull big-1",),
    ),
    "nobody answers a look": (
        known(look=(1, refused("NET002"))),
        "unreachable",
        HealthState.UNHEALTHY,
        ("GET /v1/models (NET002)", "Is the server running"),
    ),
    "a look is answered with a page": (
        known(look=(1, refused("PRO001"))),
        "unreachable",
        HealthState.DEGRADED,
        ("PRO001", "base_url"),
    ),
    "a look failed in a way of another package": (
        known(look=(1, replace(refused("XYZ001"), asked=""))),
        "unreachable",
        HealthState.DEGRADED,
        ("the last look (XYZ001)",),
    ),
    "most calls fail": (
        known(*((float(ago), "TMP001") for ago in (6, 5, 4, 3)), (2, "TMP002"), (1, "")),
        "failing",
        HealthState.UNHEALTHY,
        ("5 of the last 6 calls of vendor/big-1 failed", "TMP001", "Retry"),
    ),
    "some calls fail": (
        known((9, "XYZ001"), *((float(ago), "") for ago in range(8, 0, -1))),
        "failing",
        HealthState.DEGRADED,
        ("1 of the last 9 calls of vendor/big-1 failed, most with XYZ001.",),
    ),
    "throttled": (
        known((1, "RAT001"), rests=(KeyRest(1, 4.0, "throttled"),), config=replace(MODEL, rate=RatePolicy(rpm=60))),
        "throttled",
        HealthState.DEGRADED,
        ("throttled for another 4 s", "lower the model's `rpm` in `limits` from 60"),
    ),
    "throttled in spite of the provider's limit": (
        known((1, "RAT001"), config=replace(MODEL, rate=RatePolicy(tpm=5), provider_rate=RatePolicy(rpm=90))),
        "throttled",
        HealthState.DEGRADED,
        ("lower `limits.vendor.rpm` from 90",),
    ),
    "throttled a moment ago": (
        known((1, "RAT001")),
        "throttled",
        HealthState.DEGRADED,
        ("is throttled: set `limits.vendor.rpm`",),
    ),
    "the rate limit stands still": (
        known(lanes=(replace(LANE, paused_s=150.0),)),
        "throttled",
        HealthState.DEGRADED,
        ("for another 2 min",),
    ),
    "our own limit is full": (
        known(lanes=(replace(LANE, fill=1.0, waiting=7),)),
        "limited",
        HealthState.DEGRADED,
        ("7 calls wait", "that `limits` sets for vendor/big-1: raise it"),
    ),
    "slow by the operator's word": (
        known(
            *((float(ago), "") for ago in range(1, 7)),
            took_s=4.0,
            config=replace(MODEL, breaker=BreakerPolicy(slow_after_s=3.0)),
        ),
        "slow",
        HealthState.DEGRADED,
        ("take 4 s or more", "breaker.slow_after"),
    ),
    "nearly timing out": (
        known(
            *((float(ago), "") for ago in range(1, 7)),
            took_s=6.0,
            config=replace(MODEL, timeouts=TimeoutPolicy(attempt_s=10.0)),
        ),
        "slow",
        HealthState.DEGRADED,
        ("6 s or more of the 10 s", "timeouts.attempt"),
    ),
    "not in memory": (
        known(config=replace(MODEL, type="ollama"), look=(1, Reach(answered=True, models=("big-1",), loaded=()))),
        "not_loaded",
        HealthState.DEGRADED,
        ("ollama run big-1",),
    ),
    "not in the memory of some server": (
        known(look=(1, Reach(answered=True, loaded=()))),
        "not_loaded",
        HealthState.DEGRADED,
        ("load it there",),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_sign_is_named_and_its_advice_says_what_to_do(case: str) -> None:
    facts, word, state, says = CASES[case]
    signs = {sign.word: sign for sign in signs_of(facts)}
    assert signs[word].state is state
    assert [part for part in says if part not in signs[word].advice] == []
    assert "sk-" not in signs[word].advice
    health = target_health(facts)
    assert word in health.reasons
    assert signs[word].advice in health.recommendations


def test_every_sign_has_a_case() -> None:
    seen = {each.__name__ for facts, *_ in CASES.values() for each in SIGNS if each(facts) is not None}
    assert seen == {each.__name__ for each in SIGNS}


GOOD: Mapping[str, tuple[Facts, HealthState]] = {
    "answers": (known((1, "")), HealthState.HEALTHY),
    "nothing was ever sent": (known(), HealthState.UNKNOWN),
    "the last call was long ago": (known((400, "")), HealthState.UNKNOWN),
    "a look was answered": (known(look=(1, Reach(answered=True, models=("big-1",)))), HealthState.HEALTHY),
    "nobody could look": (known(look=(1, Reach())), HealthState.UNKNOWN),
    "an answer came after a bad look": (known((1, ""), look=(2, refused("NET002"))), HealthState.HEALTHY),
    "an answer came after a refused key": (known((2, "AUT001"), (1, "")), HealthState.HEALTHY),
    "the key was replaced, as a look shows": (
        known((2, "AUT001"), look=(1, Reach(answered=True))),
        HealthState.HEALTHY,
    ),
    "the refusal was long ago": (known((301, "AUT001")), HealthState.UNKNOWN),
    "few calls say little": (known((3, ""), (2, "TMP001"), (1, "")), HealthState.HEALTHY),
    "the caller's errors are the caller's": (
        known(*((float(ago), "VAL001") for ago in range(9, 1, -1)), (1, "")),
        HealthState.HEALTHY,
    ),
    "a circuit that is closed": (known((1, ""), circuit=status(CircuitState.CLOSED, wait_s=0.0)), HealthState.HEALTHY),
    "a queue that is not full": (known((1, ""), lanes=(replace(LANE, waiting=3),)), HealthState.HEALTHY),
    "fast enough": (known(*((float(ago), "") for ago in range(1, 7))), HealthState.HEALTHY),
    "loaded": (known(look=(1, Reach(answered=True, models=("*",), loaded=("*",)))), HealthState.HEALTHY),
}


@pytest.mark.parametrize("case", GOOD)
def test_what_is_well_or_unknown_gets_no_advice(case: str) -> None:
    facts, state = GOOD[case]
    health = target_health(facts)
    assert (health.state, health.reasons, health.recommendations) == (state, (), ())


def test_the_worst_comes_first() -> None:
    facts = known(*((float(ago), "NET002") for ago in range(6, 0, -1)), circuit=OPEN, lanes=(LANE,))
    slow = replace(facts, lanes=(replace(LANE, paused_s=1.0),))
    health = target_health(slow)
    assert health.reasons == ("circuit_open", "failing", "throttled")
    assert (health.state, health.circuit, health.circuit_since_s) == (HealthState.UNHEALTHY, "open", 12.0)
    assert (health.circuit_wait_s, health.resting_s, health.headroom) == (3.0, 1.0, 0.75)
    assert (health.last_error, health.last_error_s_ago, health.used_s_ago) == ("NET002", 1.0, 1.0)


def test_success_rates_are_those_of_attempts_that_can_be_judged() -> None:
    errors = {"TMP001": 2, "RAT001": 1, "VAL001": 5, "TIM006": 1, "XYZ001": 1}
    facts = replace(known((1, ""), took_s=0.3), counts=CallCounts(answered=12, failed=10, errors=errors))
    health = target_health(facts)
    assert (health.answered, health.failed, health.success_rate) == (12, 4, 0.75)
    assert (health.recent_calls, health.recent_success_rate, health.p50_s, health.p95_s) == (1, 1.0, 0.3, 0.3)
    assert failures(CallCounts()) == 0


def test_a_failure_counts_when_it_is_the_providers() -> None:
    theirs = ("NET001", "RAT001", "AUT001", "PER002", "NOT001", "LLM002", "INT001", "TMP003", "VAL007", "XYZ001")
    ours = ("VAL001", "VAL004", "TIM007", "TIM006", "CIR001", "INT002", "BUD001", "NOT003")
    assert [code for code in theirs if not counts_against(code)] == []
    assert [code for code in ours if counts_against(code)] == []


def test_one_that_does_better_shows_that_the_provider_is_there() -> None:
    good, bad, unknown = known((1, "")), known((1, "AUT001")), known()
    states = {
        HealthState.HEALTHY: [good, unknown],
        HealthState.UNHEALTHY: [bad, bad, unknown],
        HealthState.DEGRADED: [good, bad],
        HealthState.UNKNOWN: [unknown],
    }
    for state, facts in states.items():
        assert provider_health(facts, [target_health(each) for each in facts], None).state is state
    health = provider_health([good, bad, bad], [target_health(each) for each in (good, bad, bad)], None)
    assert len(health.recommendations) == 1
    assert (health.last_error, health.last_error_s_ago, health.recent_calls) == ("AUT001", 1.0, 3)


def test_percentiles_are_those_of_answers_and_none_without() -> None:
    lately = Lately(tuple(each / 100 for each in range(100)), ("NET002",))
    assert (lately.within_s(0.5), lately.within_s(0.95), lately.within_s(1.0)) == (0.5, 0.95, 0.99)
    assert Lately().within_s(0.5) is None
    assert Lately().success_rate is None
    assert Lately.merged([lately, Lately((0.001,), ())]).answers[:2] == (0.0, 0.001)


def test_the_keys_that_rest_are_told_by_number_and_by_what_they_rest_for() -> None:
    config = replace(MODEL, keys=(Secret("sk-one"), Secret("sk-two")))
    one, two = (key_id(replace(config, keys=(key,))) for key in config.keys)
    rests = Cooldowns()
    rests.candidate("vendor", two, "big-1").failed(llm_error("credentials", "no"), NOW)
    rests.candidate("vendor", one, "small").failed(llm_error("throttled", "slow", retry_after=9.0), NOW)
    rests.candidate("other", one, "big-1").failed(llm_error("credentials", "no"), NOW)
    assert rests_of(config, rests.statuses(NOW)) == (KeyRest(2, 60.0, "credentials"),)
    assert known(config=config, rests=rests_of(config, rests.statuses(NOW))).resting_s == 0.0
    rests.candidate("vendor", one, "big-1").failed(llm_error("model", "gone"), NOW)
    both = rests_of(config, rests.statuses(NOW))
    assert [(rest.number, rest.reason) for rest in both] == [(1, "model"), (2, "credentials")]
    assert known(config=config, rests=both).resting_s == 60.0
    keyless = rests_of(replace(config, keys=()), rests.statuses(NOW))
    assert [(rest.number, rest.reason) for rest in keyless] == [(1, "model")]
