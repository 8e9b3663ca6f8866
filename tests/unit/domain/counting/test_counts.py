from __future__ import annotations

from loomwire.domain.counting.counts import TokenCount
from loomwire.domain.pricing import Cost, Unpriced, Usage
from loomwire.domain.reports.steps import Step


def test_counting_itself_uses_nothing_and_costs_nothing() -> None:
    count = TokenCount(provider="p", model="m", input_tokens=13)
    assert (count.usage, count.cost) == (Usage(), Cost(0))
    assert count.usage.known
    assert count.input_cost == Unpriced("no_price")


def test_a_step_goes_in_front() -> None:
    first, second = Step("a", "t", "x"), Step("b", "t", "y")
    count = TokenCount(provider="p", model="m", input_tokens=1).with_step(second).with_step(first)
    assert (count.steps, count.input_tokens) == ((first, second), 1)
