"""The operator's order; equal ones among themselves by another rule."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from typing_extensions import override

from loomwire.domain.ports.selector import Candidate, IModelSelector, Load
from loomwire.domain.requests import LLMRequest


class Listed(IModelSelector):
    """Keeps the order of the list."""

    __slots__ = ()

    @override
    def order(self, request: LLMRequest, candidates: Sequence[Candidate], loads: Sequence[Load]) -> Sequence[int]:
        return range(len(candidates))


class Ordered(IModelSelector):
    """Keeps the client's list. Neighbours of one `Candidate.group` are put into order by `equals`.

    Args:
        equals: The rule among equal ones.
    """

    __slots__ = ("_equals",)

    def __init__(self, equals: IModelSelector) -> None:
        """Keep the rule."""
        self._equals = equals

    @override
    def order(self, request: LLMRequest, candidates: Sequence[Candidate], loads: Sequence[Load]) -> Sequence[int]:
        found: list[int] = []
        for _, group in groupby(range(len(candidates)), key=lambda at: candidates[at].group):
            places = list(group)
            if len(places) > 1:
                inside = [candidates[at] for at in places]
                order = self._equals.order(request, inside, [loads[at] for at in places])
                places = [places[at] for at in order]
            found += places
        return found
