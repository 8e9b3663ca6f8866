"""The breaker's invariants (T8): permits never exceed, late answers and ignored calls change nothing, and so on."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from support.circuit_model import DRAWS, ENDINGS, MOVES, ORDERS, CircuitModel, play


class CircuitMachine(RuleBasedStateMachine):
    """Lets hypothesis drive the circuit beside its plain account."""

    def __init__(self) -> None:
        """Begin closed."""
        super().__init__()
        self.model = CircuitModel()

    @rule(seconds=st.sampled_from(MOVES))
    def time_passes(self, seconds: float) -> None:
        self.model.move(seconds)

    @rule(draw=st.sampled_from(DRAWS))
    def the_dice_fall(self, draw: float) -> None:
        self.model.drawn = draw

    @rule()
    def a_call_comes(self) -> None:
        self.model.admit()

    @precondition(lambda self: self.model.given)
    @rule(which=st.integers(0, 7))
    def a_first_token_comes(self, which: int) -> None:
        given = self.model.given
        self.model.begin(given[-1 - which % len(given)])

    @precondition(lambda self: self.model.given)
    @rule(which=st.integers(0, 7), ending=st.sampled_from(ENDINGS))
    def a_call_ends_perhaps_late_or_twice(self, which: int, ending: str) -> None:
        given = self.model.given
        self.model.settle(given[-1 - which % len(given)], ending)

    @rule(word=st.sampled_from(ORDERS))
    def an_operator_speaks(self, word: str) -> None:
        self.model.order(word)

    @invariant()
    def no_more_probes_are_under_way_than_allowed(self) -> None:
        self.model.compare()


TestCircuitMachine = CircuitMachine.TestCase
TestCircuitMachine.settings = settings(stateful_step_count=60)


def test_a_circuit_does_what_a_plain_account_of_it_says() -> None:
    runs = [play(seed, 100) for seed in range(200)]
    assert sum(run.closings for run in runs) > 40, "the steps hardly ever close a circuit"
    assert sum(run.refusals for run in runs) > 1000, "they hardly ever meet an open one"
    assert sum(run.probes for run in runs) > 500, "they hardly ever probe"


@pytest.mark.full
def test_a_circuit_does_what_a_plain_account_of_it_says_for_long() -> None:
    for seed in range(20_000):
        play(1_000_000 + seed, 100)
