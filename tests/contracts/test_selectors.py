"""Every rule of `balance` keeps the contract of IModelSelector; a new one is here as soon as the policy names it."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import get_args

import pytest

from loomwire.application.selection.options import candidates_of
from loomwire.application.selection.table import Rules
from loomwire.domain.policies import BalancePolicy, BalanceRule
from loomwire.domain.ports.selector import IModelSelector, Load
from loomwire.domain.requests import LLMRequest
from support.falling import at, client_of

RULES: tuple[BalanceRule, ...] = get_args(BalanceRule)
CANDIDATES = candidates_of(client_of(at("a/x", "k1", "k2"), at("b/y"), at("c/y")))
LOADS = (Load(3, 0.5), Load(0, None, share=0.1), Load(1, 9.0, failures=2, cost_micro=7), Load(cost_micro=3, rest_s=5.0))
SAID = LLMRequest.of("Hi")
REQUESTS = (SAID, replace(SAID, session="s"), replace(SAID, tenant="t"), replace(SAID, tenant="", session=""))


def rule(name: BalanceRule) -> IModelSelector:
    """Return a rule with a chance that is the same every time."""
    return Rules(BalancePolicy(policy=name), random.Random(7).random).of("balanced")


@pytest.mark.parametrize("name", RULES)
class TestEveryRule:
    def test_it_names_every_candidate_once(self, name: BalanceRule) -> None:
        for request in REQUESTS:
            assert sorted(rule(name).order(request, CANDIDATES, LOADS)) == [0, 1, 2, 3]

    def test_it_remembers_nothing(self, name: BalanceRule) -> None:
        once = [list(rule(name).order(request, CANDIDATES, LOADS)) for request in REQUESTS]
        assert once == [list(rule(name).order(request, CANDIDATES, LOADS)) for request in REQUESTS]

    def test_a_single_candidate_is_the_first(self, name: BalanceRule) -> None:
        assert list(rule(name).order(SAID, CANDIDATES[:1], LOADS[:1])) == [0]

    def test_the_extremes_of_chance_are_no_trap(self, name: BalanceRule) -> None:
        for draw in (lambda: 0.0, lambda: 1.0):
            unlucky = Rules(BalancePolicy(policy=name), draw).of("balanced")
            assert sorted(unlucky.order(SAID, CANDIDATES, LOADS)) == [0, 1, 2, 3]

    def test_candidates_that_are_all_alike_are_no_trap(self, name: BalanceRule) -> None:
        alike = candidates_of(client_of(at("a/x"), at("a/x"), at("a/x")))
        for request in REQUESTS:
            assert sorted(rule(name).order(request, alike, [Load()] * 3)) == [0, 1, 2]
