"""What is known of targets goes with the last configuration that names them, and not before."""

from __future__ import annotations

from dataclasses import replace

from loomwire.application.state.keys import key_id
from loomwire.application.state.slots import LaneKey
from loomwire.application.state.targets import TargetStates
from loomwire.domain.config import LLMConfig
from loomwire.domain.policies import RatePolicy, RetryBudgetPolicy
from loomwire.domain.values import Secret
from loomwire.testing import FakeClock

KEYED = LLMConfig(type="openai", name="far", model="m", keys=(Secret("one"), Secret("two")))
BARE = LLMConfig(type="vllm", name="near", model="n")


def used(states: TargetStates, config: LLMConfig) -> None:
    """Have everything known of a target that a chain asks for."""
    states.circuit(config)
    for key in config.keys or (None,):
        one = key_id(config if key is None else replace(config, keys=(key,)))
        states.loads.target(config.name, one, config.model).began()
        states.cooldowns.candidate(config.name, one, config.model)
        for model in ("", config.model):
            states.slots.lane(LaneKey(config.name, one, model), RatePolicy(rpm=1))
    states.retry_tokens.allowance(config.name, RetryBudgetPolicy()).first_sent(0.0)
    states.latencies.window(config.target).note(1.0)


def test_targets_that_are_still_named_keep_everything_with_every_key() -> None:
    states = TargetStates(FakeClock())
    used(states, KEYED)
    used(states, BARE)
    circuits, lanes = states.circuits.statuses(), set(states.slots.statistics())
    loads, window = set(states.loads.readings(0.0)), states.latencies.window("far/m")
    states.retain([KEYED, BARE, replace(BARE)])
    assert (states.circuits.statuses(), set(states.slots.statistics())) == (circuits, lanes)
    assert len(lanes) == 6
    assert set(states.loads.readings(0.0)) == loads
    assert states.latencies.window("far/m") is window


def test_targets_that_nobody_names_any_more_are_forgotten() -> None:
    states = TargetStates(FakeClock())
    used(states, KEYED)
    used(states, BARE)
    states.retain([BARE])
    assert [status.name for status in states.circuits.statuses()] == ["near", "near/n"]
    assert set(states.slots.statistics()) == {LaneKey("near"), LaneKey("near", "", "n")}
    assert {load.provider for load in states.loads.readings(0.0)} == {"near"}
    states.retain(())
    assert (states.circuits.statuses(), states.slots.statistics()) == ((), {})


def test_a_key_that_was_taken_away_is_forgotten() -> None:
    states = TargetStates(FakeClock())
    used(states, KEYED)
    one = replace(KEYED, keys=KEYED.keys[:1])
    states.retain([one])
    assert {lane.key for lane in states.slots.statistics()} == {key_id(one)}
