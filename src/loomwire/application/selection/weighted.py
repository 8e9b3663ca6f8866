"""Chance, by weights."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from typing_extensions import override

from loomwire.domain.ports.selector import Candidate, IModelSelector, Load
from loomwire.domain.requests import LLMRequest


class Weighted(IModelSelector):
    """Draws the first by its weight, the next from the others, and so on; what warms up has less weight.

    Args:
        draw: Gives a number from 0 to 1.
    """

    __slots__ = ("_draw",)

    def __init__(self, draw: Callable[[], float] = random.random) -> None:
        """Keep the chance."""
        self._draw = draw

    @override
    def order(self, request: LLMRequest, candidates: Sequence[Candidate], loads: Sequence[Load]) -> Sequence[int]:
        weights = [candidate.weight * load.share for candidate, load in zip(candidates, loads, strict=True)]
        left = list(range(len(weights)))
        found: list[int] = []
        while len(left) > 1:
            point = self._draw() * sum(weights[at] for at in left)
            drawn = left[-1]
            for at in left:
                point -= weights[at]
                if point < 0:
                    drawn = at
                    break
            found.append(drawn)
            left.remove(drawn)
        return [*found, *left]
