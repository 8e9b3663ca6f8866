from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.application.selection.options import candidates_of
from loomwire.application.selection.table import Rules, rule_of, rules_of
from loomwire.domain.policies import BalancePolicy, BalanceRule
from loomwire.domain.ports.selector import Candidate, IModelSelector, Load
from loomwire.domain.requests import LLMRequest, Parameters, Priority
from loomwire.domain.values import Secret
from support.chains import HI
from support.falling import at, client_of

RULES: tuple[BalanceRule, ...] = ("ordered", "weighted", "least_busy", "latency", "cost", "sticky")


def rule(name: BalanceRule, seed: int = 1, equals: BalanceRule = "latency") -> IModelSelector:
    """Return a rule whose chance is the same every time."""
    return Rules(BalancePolicy(policy=name, equals=equals), random.Random(seed).random).of("balanced")


def three(*weights: float) -> tuple[Candidate, ...]:
    """Return three candidates."""
    return candidates_of(replace(client_of(at("a/x"), at("b/y"), at("c/z")), weights=weights))


def shares(selector: IModelSelector, loads: Sequence[Load], candidates: Sequence[Candidate]) -> list[float]:
    """Return how often each is the first of 4,000."""
    firsts = Counter(selector.order(HI, candidates, loads)[0] for _ in range(4000))
    return [firsts[at] / 4000 for at in range(len(candidates))]


LOADS = st.builds(
    Load,
    in_flight=st.integers(0, 1000),
    latency_s=st.none() | st.floats(0, 1000),
    share=st.floats(0.1, 1),
    cost_micro=st.none() | st.integers(0, 10**9),
    rest_s=st.floats(0, 100),
)


@given(
    name=st.sampled_from(RULES),
    equals=st.sampled_from(RULES),
    loads=st.lists(LOADS, min_size=1, max_size=6),
    same=st.booleans(),
    session=st.none() | st.text(),
    seed=st.integers(0, 9),
)
def test_every_rule_names_every_candidate_once(
    name: BalanceRule, equals: BalanceRule, loads: list[Load], *, same: bool, session: str | None, seed: int
) -> None:
    targets = [at(f"p{number}/{'m' if same else number}") for number in range(len(loads))]
    order = rule(name, seed, equals).order(replace(HI, session=session), candidates_of(client_of(*targets)), loads)
    assert sorted(order) == list(range(len(loads)))


def test_ordered_keeps_the_list() -> None:
    assert list(rule("ordered").order(HI, three(), [Load(9), Load(), Load()])) == [0, 1, 2]


def test_equal_ones_are_put_into_order_by_their_own_rule_inside_the_list() -> None:
    same = candidates_of(client_of(at("a/x"), at("b/y"), at("c/y"), at("d/z")))
    assert [one.group for one in same] == [0, 1, 1, 2]
    loads = [Load(), Load(latency_s=2.0), Load(latency_s=1.0), Load()]
    assert list(rule("ordered").order(HI, same, loads)) == [0, 2, 1, 3]
    assert list(rule("ordered", equals="ordered").order(HI, same, loads)) == [0, 1, 2, 3]


def test_the_same_model_with_other_parameters_or_further_down_is_another_one() -> None:
    warm = replace(at("b/y"), parameters=Parameters(temperature=1.0))
    found = candidates_of(client_of(at("a/y"), warm, at("c/z"), at("d/y")))
    assert [one.group for one in found] == [0, 1, 2, 3]


def test_every_key_is_a_candidate_and_all_keys_of_a_model_weigh_what_it_weighs() -> None:
    config = replace(client_of(at("a/x", "1", "2"), at("b/y")), weights=(4.0, 1.0))
    found = candidates_of(config)
    assert [(one.name, one.place, one.key, one.weight, one.group) for one in found] == [
        ("a/x", 0, 0, 2.0, 0),
        ("a/x#2", 0, 1, 2.0, 0),
        ("b/y", 1, 0, 1.0, 1),
    ]
    assert [one.config.keys for one in found] == [(Secret("1"),), (Secret("2"),), ()]


def test_weights_say_how_often_each_is_the_first() -> None:
    assert shares(rule("weighted"), [Load()] * 3, three(6, 3, 1)) == pytest.approx([0.6, 0.3, 0.1], abs=0.03)


def test_what_warms_up_weighs_less() -> None:
    loads = [Load(share=0.1), Load(), Load()]
    assert shares(rule("weighted"), loads, three(1, 1, 1))[0] == pytest.approx(0.1 / 2.1, abs=0.02)


def test_a_chance_of_one_draws_somebody_too() -> None:
    weighted = Rules(BalancePolicy(policy="weighted"), lambda: 1.0).of("balanced")
    assert list(weighted.order(HI, three(1, 1, 1), [Load()] * 3)) == [2, 1, 0]
    latency = Rules(BalancePolicy(policy="latency"), lambda: 1.0).of("balanced")
    assert sorted(latency.order(HI, three(), [Load()] * 3)) == [0, 1, 2]


def test_the_least_busy_is_first_and_chance_decides_among_equals() -> None:
    assert list(rule("least_busy").order(HI, three(), [Load(5), Load(1), Load(3)])) == [1, 2, 0]
    assert list(rule("least_busy").order(HI, three(), [Load(1, share=0.1), Load(5), Load(6)])) == [1, 2, 0]
    assert shares(rule("least_busy"), [Load()] * 3, three()) == pytest.approx([1 / 3] * 3, abs=0.04)


def test_latency_never_asks_the_worst_first_and_sorts_the_rest() -> None:
    loads = [Load(latency_s=9.0), Load(latency_s=1.0), Load(latency_s=2.0)]
    found = shares(rule("latency"), loads, three())
    assert found[0] == 0
    assert found[1] == pytest.approx(2 / 3, abs=0.04)
    assert all(list(rule("latency", seed).order(HI, three(), loads))[-1] == 0 for seed in range(20))


def test_calls_in_flight_and_warming_up_count_as_slowness() -> None:
    two = three()[:2]
    assert rule("latency").order(HI, two, [Load(9, 1.0), Load(0, 5.0)])[0] == 1
    assert rule("latency").order(HI, two, [Load(0, 1.0, share=0.1), Load(0, 5.0)])[0] == 1


def test_what_was_never_asked_is_taken_for_as_fast_as_the_fastest() -> None:
    two = three()[:2]
    assert rule("latency").order(HI, two, [Load(0, 1.0), Load(3, None)])[0] == 0
    assert rule("latency").order(HI, two, [Load(4, 1.0), Load(3, None)])[0] == 1


def test_the_cheapest_is_first_then_the_fastest_and_the_unknown_last() -> None:
    loads = [Load(cost_micro=None), Load(cost_micro=5, latency_s=2.0), Load(cost_micro=5, latency_s=1.0)]
    assert list(rule("cost").order(HI, three(), loads)) == [2, 1, 0]


def orders(candidates: Sequence[Candidate], requests: Sequence[LLMRequest]) -> list[list[int]]:
    """Return the order of each request by the rule sticky."""
    sticky = rule("sticky")
    return [list(sticky.order(request, candidates, [Load()] * len(candidates))) for request in requests]


def test_a_session_always_gets_the_same_target_and_sessions_are_spread_by_weight() -> None:
    sessions = [replace(HI, session=str(number)) for number in range(2000)]
    found = orders(three(2, 1, 1), sessions)
    assert found == orders(three(2, 1, 1), sessions)
    firsts = Counter(order[0] for order in found)
    assert [firsts[at] / 2000 for at in range(3)] == pytest.approx([0.5, 0.25, 0.25], abs=0.04)


def test_only_the_sessions_of_a_target_that_goes_are_moved() -> None:
    sessions = [replace(HI, session=str(number)) for number in range(200)]
    for before, after in zip(orders(three(), sessions), orders(three()[:2], sessions), strict=True):
        assert [place for place in before if place < 2] == after


def test_a_session_is_known_before_its_tenant_and_without_both_the_latency_decides() -> None:
    tenants = [replace(HI, tenant=str(number)) for number in range(50)]
    sessions = [replace(HI, session=str(number)) for number in range(50)]
    assert len({tuple(order) for order in orders(three(), tenants)}) > 1
    assert orders(three(), tenants) != orders(three(), sessions)
    slow = [Load(latency_s=9.0), Load(latency_s=1.0)]
    assert rule("sticky").order(HI, three()[:2], slow)[0] == 1


def test_one_model_listed_twice_is_two_to_choose_from() -> None:
    warm = replace(at("a/x"), parameters=Parameters(temperature=1.0))
    found = orders(candidates_of(client_of(at("a/x"), warm)), [replace(HI, session=str(n)) for n in range(200)])
    assert 60 < sum(order[0] for order in found) < 140


@pytest.mark.parametrize(
    ("priority", "name"), [("balanced", "sticky"), ("cost", "cost"), ("speed", "latency"), ("quality", "ordered")]
)
def test_a_priority_prefers_a_rule_for_its_call(priority: Priority, name: BalanceRule) -> None:
    policy = BalancePolicy(policy="sticky")
    assert rule_of(policy, priority) == name
    assert Rules(policy).needs_cost(priority) is (name == "cost")


def test_costs_are_measured_only_where_they_are_looked_at() -> None:
    assert Rules(BalancePolicy(equals="cost")).needs_cost("balanced")
    assert not Rules(BalancePolicy(policy="latency", equals="cost")).needs_cost("balanced")


def test_clients_of_one_policy_share_their_rules_and_no_others_do() -> None:
    draw = random.Random(1).random
    rules = rules_of(BalancePolicy(policy="sticky"), draw)
    assert rules_of(BalancePolicy(policy="sticky"), draw) is rules
    assert rules_of(BalancePolicy(policy="cost"), draw) is not rules
