"""Whatever is known of a target, its health is consistent, can be written down, and shows no key."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from loomwire.application.health.blame import Lately, counts_against
from loomwire.application.health.facts import WINDOW_S, Facts, Look
from loomwire.application.health.judging import provider_health, target_health
from loomwire.application.health.rests import KeyRest
from loomwire.application.state.breaking.permits import CircuitState, CircuitStatus, Hold
from loomwire.application.state.pacing.statistics import LaneStatistics
from loomwire.application.state.stats import Ended
from loomwire.domain.config import LLMConfig
from loomwire.domain.faults import CODES, FAULTS
from loomwire.domain.policies import BreakerPolicy, RatePolicy
from loomwire.domain.reports.health import HealthState
from loomwire.domain.reports.reach import Reach
from loomwire.domain.values import Secret

NOW = 10_000.0
codes = st.sampled_from(["", "", "", *CODES, "XYZ001"])
seconds = st.floats(0.0, 900.0)
names = st.sampled_from(["m", "m:latest", "models/m", "*", "other", "sk-canary-of-a-server"])
listings = st.none() | st.lists(names, max_size=12).map(tuple)


@st.composite
def circuits(draw: st.DrawFn) -> CircuitStatus:
    """Return any status of the target's circuit."""
    holds: tuple[Hold, ...] = ("", "", "isolated", "forced_closed")
    wait = draw(st.none() | seconds)
    return CircuitStatus(
        "vendor/m", draw(st.sampled_from(CircuitState)), draw(st.sampled_from(holds)), "", draw(codes), 5.0, wait
    )


@st.composite
def lanes(draw: st.DrawFn) -> LaneStatistics:
    """Return what any lane holds."""
    fill = draw(st.floats(0.0, 1.0))
    return LaneStatistics(1, draw(st.integers(0, 3)), 0.0, 1, 0, 1, 1, draw(seconds), fill)


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    """Return anything that can be known of a target."""
    keys = tuple(Secret(f"sk-canary-{number}") for number in range(draw(st.integers(0, 3))))
    type_ = draw(st.sampled_from(["openai", "ollama", "lm_studio", "llamacpp", "acme"]))
    config = LLMConfig(type=type_, name="vendor", model="m", keys=keys)
    if draw(st.booleans()):
        config = replace(config, rate=RatePolicy(rpm=5), breaker=BreakerPolicy(slow_after_s=1.0))
    ended = sorted(draw(st.lists(seconds, max_size=30)), reverse=True)
    endings: tuple[Ended, ...] = tuple((NOW - ago, draw(seconds), draw(codes)) for ago in ended)
    numbers = draw(st.sets(st.integers(1, max(1, len(keys)))))
    reasons = st.sampled_from(sorted(FAULTS))
    answered = draw(st.sampled_from([True, False, None]))
    reach = Reach(answered=answered, code=draw(codes), models=draw(listings), loaded=draw(listings))
    return Facts(
        config=config,
        now=NOW,
        endings=endings,
        lately=Lately.since(NOW - WINDOW_S, endings),
        circuit=draw(st.none() | circuits()),
        lanes=draw(st.lists(lanes(), max_size=2)),
        rests=[KeyRest(number, draw(seconds), draw(reasons)) for number in sorted(numbers)],
        look=draw(st.none() | seconds.map(lambda ago: Look(NOW - ago, reach))),
    )


@given(st.lists(any_facts(), min_size=1, max_size=3))
def test_health_is_consistent_whatever_is_known(several: list[Facts]) -> None:
    targets = [target_health(each) for each in several]
    for health, facts in zip(targets, several, strict=True):
        assert len(health.reasons) == len(health.recommendations) == len(set(health.reasons))
        assert bool(health.reasons) is (health.state in (HealthState.UNHEALTHY, HealthState.DEGRADED))
        late = [code for at, _, code in facts.endings if at >= NOW - WINDOW_S]
        answered, failed = late.count(""), sum(bool(code) and counts_against(code) for code in late)
        assert health.recent_calls == answered + failed
        assert health.recent_success_rate == (answered / (answered + failed) if answered + failed else None)
        assert all(advice.endswith((".", "?")) and "\n" not in advice for advice in health.recommendations)
    provider = provider_health(several, targets, several[0].look)
    states = {health.state for health in targets} - {HealthState.UNKNOWN}
    assert provider.state is (HealthState.DEGRADED if len(states) > 1 else next(iter(states), HealthState.UNKNOWN))
    assert "canary" not in json.dumps([target.recommendations for target in targets])
    assert json.loads(json.dumps(provider.to_dict()))["provider"] == "vendor"
