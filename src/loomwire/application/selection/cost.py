"""Who is cheapest for this request."""

from __future__ import annotations

import math
from collections.abc import Sequence

from typing_extensions import override

from loomwire.application.selection.latency import scores_of
from loomwire.domain.ports.selector import Candidate, IModelSelector, Load
from loomwire.domain.requests import LLMRequest


class Cheapest(IModelSelector):
    """Asks the cheapest first, by price and estimated tokens; among equals the fastest. Unknown prices come last."""

    __slots__ = ()

    @override
    def order(self, request: LLMRequest, candidates: Sequence[Candidate], loads: Sequence[Load]) -> Sequence[int]:
        costs = [math.inf if load.cost_micro is None else load.cost_micro for load in loads]
        keys = list(zip(costs, scores_of(loads), strict=True))
        return sorted(range(len(keys)), key=keys.__getitem__)
