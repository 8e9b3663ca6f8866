"""Answers that may be given again, and those that may not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loomwire.application.caching.storable import answered_by, equals_of, why_not
from loomwire.domain.caching.policies import CachePolicy
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.policies import BalancePolicy, BalanceRule
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import Parameters, Priority
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import Secret

POLICY = CachePolicy()
FIRST = frozenset({"a/m"})
GOOD = LLMResponse(output="x", text="x", provider="p", model="m", finish="stop")


def target(name: str, model: str = "m", *keys: str, temperature: float | None = None) -> LLMConfig:
    """Return a target."""
    parameters = Parameters(temperature=temperature)
    return LLMConfig(type="mock", name=name, model=model, keys=tuple(map(Secret, keys)), parameters=parameters)


def client(
    *targets: LLMConfig, policy: BalanceRule = "ordered", cache: CachePolicy = POLICY, equals: BalanceRule = "latency"
) -> ClientConfig:
    """Return a client."""
    return ClientConfig(name="chat", targets=targets, balance=BalancePolicy(policy=policy, equals=equals), cache=cache)


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (GOOD, None),
        (replace(GOOD, finish="tool_calls"), None),
        (replace(GOOD, emulated=True), None),
        (replace(GOOD, degraded=True), "degraded"),
        (replace(GOOD, cached=True), "cached"),
        (replace(GOOD, complete=False), "incomplete"),
        (replace(GOOD, refusal="no"), "refusal"),
        (replace(GOOD, refusal=""), "refusal"),
        (replace(GOOD, finish=None), "no_finish"),
        (replace(GOOD, finish="content_filter"), "content_filter"),
        (replace(GOOD, finish="error"), "error"),
        (replace(GOOD, finish="pause"), "pause"),
        (replace(GOOD, finish="other"), "other"),
        (replace(GOOD, finish="length"), "length"),
    ],
)
def test_only_what_a_model_said_to_its_end_is_kept(response: LLMResponse[str], why: str | None) -> None:
    assert why_not(response, POLICY, None) == why


def test_what_the_token_limit_cut_is_kept_where_the_policy_says_so() -> None:
    cut = replace(GOOD, finish="length")
    assert why_not(cut, CachePolicy(truncated=True), None) is None
    assert why_not(replace(cut, complete=False), CachePolicy(truncated=True), None) == "incomplete"


def test_what_a_target_outside_said_is_not_kept() -> None:
    steps = (
        Step("attempt", "first/m", "answered"),
        Step("stream", "first/m", "restarted"),
        Step("attempt", "second/m", "answered"),
        Step("attempt", "third/m", "cancelled"),
    )
    said = replace(GOOD, steps=steps)
    assert answered_by(said) == "second/m"
    assert why_not(said, POLICY, frozenset({"second/m", "x/y"})) is None
    assert why_not(said, POLICY, frozenset({"first/m"})) == "other_target"
    assert why_not(said, POLICY, None) is None
    assert why_not(GOOD, POLICY, frozenset({"first/m"})) == "other_target"


def test_the_first_target_of_a_list_and_its_equal_neighbours_are_the_ones_whose_answers_are_kept() -> None:
    assert equals_of(client(target("a"))) is None
    assert equals_of(client(target("a", "m", "k1", "k2"))) is None
    assert equals_of(client(target("a"), target("b"))) is None
    assert equals_of(client(target("a"), target("b", "other"))) == FIRST
    assert equals_of(client(target("a"), target("b"), target("c", "other"), target("d"))) == frozenset({"a/m", "b/m"})
    assert equals_of(client(target("a"), target("b", temperature=1.0))) == FIRST


def test_of_one_model_that_is_asked_in_two_ways_nobody_knows_whose_answer_it_is() -> None:
    assert equals_of(client(target("a"), target("a", temperature=1.0))) == frozenset()
    assert equals_of(client(target("a"), target("b"), target("a", temperature=1.0))) == frozenset({"b/m"})


@pytest.mark.parametrize("policy", ["weighted", "least_busy", "latency", "cost", "sticky"])
def test_every_target_is_as_good_where_a_rule_chooses_freely(policy: BalanceRule) -> None:
    assert equals_of(client(target("a"), target("b", "other"), policy=policy)) is None


def test_every_target_is_as_good_where_the_configuration_says_so() -> None:
    assert equals_of(client(target("a"), target("b", "other"), cache=CachePolicy(equivalent=True))) is None


@pytest.mark.parametrize(
    ("priority", "kept"), [("balanced", FIRST), ("quality", FIRST), ("cost", None), ("speed", None)]
)
def test_the_priority_of_a_request_may_choose_freely_too(priority: Priority, kept: frozenset[str] | None) -> None:
    assert equals_of(client(target("a"), target("b", "other")), priority) == kept


def test_a_request_for_quality_keeps_to_the_order_whatever_the_rule() -> None:
    assert equals_of(client(target("a"), target("b", "other"), policy="latency"), "quality") == FIRST
