"""Who has the fewest calls in flight."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from typing_extensions import override

from loomwire.domain.ports.selector import Candidate, IModelSelector, Load
from loomwire.domain.requests import LLMRequest


class LeastBusy(IModelSelector):
    """Asks whoever answers the fewest calls now, chance decides among equals; what warms up counts as busier.

    Args:
        draw: Gives a number from 0 to 1.
    """

    __slots__ = ("_draw",)

    def __init__(self, draw: Callable[[], float] = random.random) -> None:
        """Keep the chance."""
        self._draw = draw

    @override
    def order(self, request: LLMRequest, candidates: Sequence[Candidate], loads: Sequence[Load]) -> Sequence[int]:
        keys = [((load.in_flight + 1) / load.share, self._draw()) for load in loads]
        return sorted(range(len(keys)), key=keys.__getitem__)
