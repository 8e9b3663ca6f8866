"""What the answers of one typed call used and cost together."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from loomwire.application.resilience.delays import sends_of
from loomwire.domain.errors import LLMError
from loomwire.domain.pricing import FREE, Charge, Cost, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import Bound, LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import JSONObject

T = TypeVar("T")


class Spending:
    """What one call spent so far. Lives as long as the call."""

    __slots__ = ("_answers", "_cost", "_steps", "_usage")

    def __init__(self) -> None:
        self._answers = 0
        self._usage = Usage()
        self._cost: Charge = FREE
        self._steps: tuple[Step, ...] = ()

    def add(self, response: LLMResponse[str]) -> None:
        """Count an answer."""
        self._answers += 1
        self._usage += response.usage
        self._cost += response.cost
        self._steps += response.steps

    def note(self, *steps: Step) -> None:
        """Keep steps that no answer carries."""
        self._steps += steps

    @property
    def sends(self) -> int:
        """How often something was sent so far."""
        return sends_of(self._steps)

    def sent_before(self, request: LLMRequest, bound: Bound) -> LLMRequest:
        """Return a request that tells the layers below how often its call was sent.

        Args:
            request: What to send next.
            bound: The call's bound, as it was before the first send.
        """
        if not self._steps:
            return request
        return request.with_bound(replace(bound, sent=bound.sent + self.sends))

    def total(self, response: LLMResponse[T]) -> LLMResponse[T]:
        """Return the last answer with what all of them spent."""
        if self._answers == 1:
            # A sum would drop the provider's own total.
            return replace(response, steps=self._steps)
        return replace(response, usage=self._usage, cost=self._cost, steps=self._steps)

    def charge(self, error: LLMError) -> None:
        """Tell an error what was spent before it, and the way there."""
        error.steps = (*self._steps, *error.steps)
        if self._answers:
            cost = str(self._cost.usd) if isinstance(self._cost, Cost) else None
            spent: JSONObject = {"answers": self._answers, "usage": self._usage.to_dict(), "cost_usd": cost}
            error.metadata = {**error.metadata, "spent": spent}
