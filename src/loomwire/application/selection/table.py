"""Every rule by the name it has in `balance`, and what a request's priority makes of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

from loomwire.application.selection.cost import Cheapest
from loomwire.application.selection.latency import Latency
from loomwire.application.selection.least_busy import LeastBusy
from loomwire.application.selection.ordered import Listed, Ordered
from loomwire.application.selection.sticky import Sticky
from loomwire.application.selection.weighted import Weighted
from loomwire.domain.policies import BalancePolicy, BalanceRule
from loomwire.domain.ports.selector import IModelSelector
from loomwire.domain.requests import Priority

_PREFERRED: Mapping[Priority, BalanceRule] = MappingProxyType(
    # The order in which the operator lists the models is what is known of their quality.
    {"cost": "cost", "speed": "latency", "quality": "ordered"}
)


def rule_of(policy: BalancePolicy, priority: Priority) -> BalanceRule:
    """Return the name of the rule for a request: what its priority prefers, else the client's policy."""
    return _PREFERRED.get(priority, policy.policy)


@lru_cache(maxsize=64)
def rules_of(policy: BalancePolicy, draw: Callable[[], float]) -> Rules:
    """Return the rules of a policy. They remember nothing, so a thousand clients of one policy share them."""
    return Rules(policy, draw)


class Rules:
    """The rules of one client. Made at build time.

    Args:
        policy: Which rules.
        draw: Gives a number from 0 to 1; every rule draws from it.
    """

    __slots__ = ("_by_name", "_policy")

    def __init__(self, policy: BalancePolicy, draw: Callable[[], float] = random.random) -> None:
        """Make every rule that a request may need."""
        self._policy = policy
        latency = Latency(draw)
        rules: dict[BalanceRule, IModelSelector] = {
            "weighted": Weighted(draw),
            "least_busy": LeastBusy(draw),
            "latency": latency,
            "cost": Cheapest(),
            "sticky": Sticky(latency),
        }
        # Equal ones cannot be put into an order of the operator: they have the same place.
        rules["ordered"] = Ordered(rules.get(policy.equals, Listed()))
        self._by_name = rules

    def of(self, priority: Priority) -> IModelSelector:
        """Return the rule for a request of this priority."""
        return self._by_name[rule_of(self._policy, priority)]

    def needs_cost(self, priority: Priority) -> bool:
        """Whether `Load.cost_micro` is looked at."""
        rule = rule_of(self._policy, priority)
        return rule == "cost" or (rule == "ordered" and self._policy.equals == "cost")
