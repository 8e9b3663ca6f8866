from __future__ import annotations

import json
from dataclasses import replace

import pytest

from loomwire.application.selection.options import options_of
from loomwire.application.selection.route import Route, route
from loomwire.application.state.targets import TargetStates
from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import ClientConfig
from loomwire.domain.errors import LLMAuthenticationError
from loomwire.domain.policies import BalancePolicy, BreakerPolicy
from loomwire.domain.requests import LLMRequest, Priority
from loomwire.testing import FakeClock
from support.chains import HI
from support.falling import at, client_of

CONFIG = client_of(at("a/x", "secret-1", "secret-2"), at("b/y"), at("c/z"))


def ways(found: Route) -> list[tuple[str, str]]:
    """Return the names and remarks of who is kept."""
    return [(kept.candidate.name, kept.remark) for kept in found.kept]


def known(config: ClientConfig = CONFIG) -> tuple[TargetStates, FakeClock]:
    """Return states that know a client's targets."""
    clock = FakeClock()
    states = TargetStates(clock)
    options_of(config, states)
    return states, clock


def test_a_route_tells_who_is_asked_in_which_order_and_what_is_in_the_way() -> None:
    mute = replace(at("d/m"), capabilities=ModelCapabilities(supports_streaming=False))
    config = replace(CONFIG, targets=(*CONFIG.targets, mute), balance=BalancePolicy(equals="ordered"))
    states, clock = known(config)
    options_of(config, states)[0].failed(LLMAuthenticationError("who"), clock.now())
    states.circuits.find("b/y").isolate()
    found = route(config, states, HI, streamed=True)
    assert found.rule == "ordered"
    assert ways(found) == [
        ("a/x#2", ""),
        ("c/z", ""),
        ("a/x", "resting for 60.0 s: credentials"),
        ("b/y", "resting: circuit_open"),
    ]
    assert [(one.candidate.name, one.reason) for one in found.dropped] == [
        ("d/m", "cannot do what the request needs: streaming")
    ]
    assert not found.panic


def test_a_dry_run_changes_nothing() -> None:
    states, clock = known()
    before = states.loads.readings(0.0), states.circuits.statuses(), states.cooldowns.statuses(0.0)
    route(CONFIG, states, HI)
    assert (states.loads.readings(0.0), states.circuits.statuses(), states.cooldowns.statuses(0.0)) == before
    assert clock.now() == 0.0


def test_a_route_knows_who_is_tried_first_in_panic() -> None:
    open_s = (40.0, 20.0, 10.0)
    targets = [replace(one, breaker=BreakerPolicy(open_s=s)) for one, s in zip(CONFIG.targets, open_s, strict=True)]
    config = replace(CONFIG, targets=tuple(targets))
    states, _ = known(config)
    for target in targets:
        states.circuits.find(target.target).force_open()
    found = route(config, states, HI)
    assert found.panic
    assert ways(found)[0][0] == "c/z"


def test_a_route_tells_who_warms_up() -> None:
    states, _ = known()
    load = states.loads.target("b", "", "y")
    load.rests()
    load.answered(0.1, 0.0)
    assert ways(route(CONFIG, states, HI))[2:] == [("b/y", "warming up"), ("c/z", "")]


@pytest.mark.parametrize(("priority", "rule"), [("speed", "latency"), ("cost", "cost"), ("quality", "ordered")])
def test_a_route_names_the_rule_that_the_priority_prefers(priority: Priority, rule: str) -> None:
    assert route(CONFIG, known()[0], replace(HI, priority=priority)).rule == rule


def test_a_route_tells_why_somebody_is_kept_although_nobody_fits() -> None:
    small = ModelCapabilities(context_window=1, supports_streaming=False)
    config = replace(CONFIG, targets=(replace(at("d/m"), capabilities=small),))
    (kept,) = route(config, known(config)[0], LLMRequest.of("Hello, how are you?")).kept
    assert kept.remark.endswith("window of 1, and none has a larger one: asked all the same, since that is an estimate")
    (kept,) = route(config, known(config)[0], HI, streamed=True).kept
    assert kept.remark == ("cannot do what the request needs: streaming, and so cannot any other: the call is refused")


def test_a_route_as_json_has_no_key_and_no_infinity() -> None:
    states, _ = known()
    states.circuits.find("b/y").isolate()
    states.loads.target("c", "", "z").answered(0.1, 0.0)
    mute = replace(at("d/m"), capabilities=ModelCapabilities(supports_streaming=False))
    told = route(replace(CONFIG, targets=(*CONFIG.targets, mute)), states, HI, streamed=True).to_dict()
    said = json.dumps(told, allow_nan=False)
    assert "secret" not in said
    assert told["dropped"] == [{"target": "d/m", "reason": "cannot do what the request needs: streaming"}]
    assert '"rest_s": null' in said
    assert '"latency_s": 0.1' in said
