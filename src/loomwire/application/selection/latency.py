"""Who answers fastest, by two drawn at random: the better of two is nearly the best, and nobody is stormed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from typing_extensions import override

from loomwire.domain.ports.selector import Candidate, IModelSelector, Load
from loomwire.domain.requests import LLMRequest


class Latency(IModelSelector):
    """Asks the better of two drawn candidates, then the others, best first.

    Better is a smaller latency times calls in flight. Failures are booked as timeouts, or whoever fails at once would
    look like the fastest of all; what was never asked is taken for as fast as the fastest.

    Args:
        draw: Gives a number from 0 to 1.
    """

    __slots__ = ("_draw",)

    def __init__(self, draw: Callable[[], float] = random.random) -> None:
        """Keep the chance."""
        self._draw = draw

    @override
    def order(self, request: LLMRequest, candidates: Sequence[Candidate], loads: Sequence[Load]) -> Sequence[int]:
        count = len(loads)
        if count == 1:
            return (0,)
        scores = scores_of(loads)
        one = min(int(self._draw() * count), count - 1)
        # Never the same one twice.
        other = (one + 1 + min(int(self._draw() * (count - 1)), count - 2)) % count
        first = one if scores[one] <= scores[other] else other
        rest = sorted((at for at in range(count) if at != first), key=scores.__getitem__)
        return [first, *rest]


def scores_of(loads: Sequence[Load]) -> list[float]:
    """Return how long each would probably take, in no unit; smaller is better."""
    fastest = min((load.latency_s for load in loads if load.latency_s is not None), default=1.0)
    return [
        (fastest if load.latency_s is None else load.latency_s) * (load.in_flight + 1) / load.share for load in loads
    ]
