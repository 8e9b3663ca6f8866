"""Keeps what an answer of Cohere's holds beside text and calls: thinking, the plan for its tools, citations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from loomwire.domain.errors import llm_error
from loomwire.domain.messages import Reasoning
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.cohere.conversation import ORIGIN
from loomwire.infrastructure.providers.wire.said import Said

MOST_ITEMS = 1024
"""Thinking blocks, and citations, of one answer; Cohere's have a few."""


class Extras:
    """Puts them together from the pieces of a stream. Belongs to one answer."""

    __slots__ = ("_citations", "_plan", "_thoughts")

    def __init__(self) -> None:
        """Hold nothing."""
        self._thoughts: list[tuple[object, Said]] = []
        self._plan = Said()
        self._citations: list[JSON] = []

    def __bool__(self) -> bool:
        """Tell whether anything came."""
        return bool(self._thoughts or self._plan or self._citations)

    def add_thinking(self, text: str, index: object) -> None:
        """Note a piece of the thinking block at an index of the content."""
        if not self._thoughts or self._thoughts[-1][0] != index:
            _check(len(self._thoughts), "thinking blocks")
            self._thoughts.append((index, Said()))
        self._thoughts[-1][1].add(text)

    def add_plan(self, plan: object) -> None:
        """Note a piece of the plan."""
        if isinstance(plan, str):
            self._plan.add(plan)

    def add_citations(self, citations: object) -> None:
        """Note a citation, or several."""
        several = citations if isinstance(citations, Sequence) else (citations,)
        for citation in several:
            if isinstance(citation, Mapping):
                _check(len(self._citations), "citations")
                self._citations.append(citation)

    def items(self) -> Iterator[Reasoning]:
        """Yield what came, each whole: thinking with its text, plan and citations as an item that shows none.

        The plan goes back with the calls it belongs to; it is no thinking that a caller should be shown as such.
        """
        for _, block in self._thoughts:
            yield Reasoning(block.text(), origin=ORIGIN)
        wire: dict[str, JSON] = {}
        if self._plan:
            wire["tool_plan"] = self._plan.text()
        if self._citations:
            wire["citations"] = tuple(self._citations)
        if wire:
            yield Reasoning(wire=wire, origin=ORIGIN)


def _check(count: int, what: str) -> None:
    if count == MOST_ITEMS:
        raise llm_error("too_large", f"the answer has more than {MOST_ITEMS} {what}")
