from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import pytest

from loomwire.application.selection.options import Option, options_of
from loomwire.application.state.targets import TargetStates
from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMAuthenticationError, LLMTemporaryError, LLMValidationError
from loomwire.domain.policies import BreakerPolicy
from loomwire.domain.pricing import Prices
from loomwire.domain.requests import LLMRequest, Parameters
from loomwire.testing import FakeClock
from support.chains import HI
from support.falling import at, client_of

PRICED = replace(at("a/x"), prices=Prices.per_mtok(Decimal(1), Decimal(10)))


def option(config: LLMConfig) -> tuple[Option, TargetStates, FakeClock]:
    """Return the only option of a target, and its states."""
    clock = FakeClock()
    states = TargetStates(clock)
    return options_of(client_of(config), states)[0], states, clock


@pytest.mark.parametrize(
    ("config", "request_", "micro"),
    [
        (at("a/x"), HI, None),
        (replace(at("a/x"), free=True), HI, 0),
        (PRICED, HI, 10_241),
        (PRICED, replace(HI, parameters=Parameters(max_tokens=10)), 101),
        (replace(PRICED, parameters=Parameters(max_tokens=20)), HI, 201),
        (replace(PRICED, capabilities=ModelCapabilities(max_tokens=30)), HI, 301),
        (replace(PRICED, capabilities=ModelCapabilities(max_tokens=100_000)), HI, 10_241),
    ],
)
def test_a_request_costs_its_input_and_a_usual_answer(
    config: LLMConfig, request_: LLMRequest, micro: int | None
) -> None:
    assert option(config)[0].cost_micro(request_, 1) == micro


def test_an_option_rests_as_long_as_its_cooldown_and_its_circuit_say() -> None:
    one, states, _ = option(replace(at("a/x", "k"), breaker=BreakerPolicy(open_s=10.0)))
    assert (one.rest_s(0.0), one.is_admitted) == (0.0, True)
    one.failed(LLMAuthenticationError("who", retry_after=2.0), 0.0)
    assert (one.rest_s(0.0), one.is_admitted) == (2.0, True)
    circuit = states.circuits.find("a/x")
    circuit.force_open()
    assert one.rest_s(0.0) == circuit.wait_s()
    assert not one.is_admitted
    circuit.isolate()
    assert one.rest_s(0.0) == math.inf


def test_a_circuit_whose_time_is_up_is_admitted() -> None:
    one, states, clock = option(at("a/x"))
    states.circuits.find("a/x").force_open()
    clock.move(10.0)
    assert one.is_admitted
    assert one.rest_s(10.0) == 0.0


def test_only_failures_of_the_target_are_booked() -> None:
    one, _, _ = option(at("a/x"))
    one.failed(LLMValidationError("bad"), 0.0)
    one.failed(LLMAuthenticationError("who"), 0.0)
    assert one.load_now(0.0, 30.0).failures == 0
    one.failed(LLMTemporaryError("down"), 0.0)
    load = one.load_now(0.0, 30.0)
    assert (load.failures, load.latency_s, load.rest_s) == (1, 600.0, 60.0)


def test_being_passed_over_for_a_cooldown_is_no_illness_but_for_a_circuit_it_is() -> None:
    one, states, _ = option(at("a/x"))
    one.noted_resting()
    one.load.answered(0.1, 0.0)
    assert one.load_now(0.0, 30.0).share == 1.0
    states.circuits.find("a/x").force_open()
    one.noted_resting()
    one.load.answered(0.1, 0.0)
    assert one.load_now(0.0, 30.0).share < 1.0


def test_what_is_known_outlives_the_options_that_found_it_out() -> None:
    one, states, _ = option(at("a/x", "k"))
    one.failed(LLMAuthenticationError("who"), 0.0)
    again = options_of(client_of(at("a/x", "k"), at("a/x", "new")), states)
    assert [found.rest_s(0.0) for found in again] == [60.0, 0.0]
    states.retain([at("a/x", "new")])
    assert len(states.loads.readings(0.0)) == 1
