"""One run of an agent on its way: the conversation so far, what it cost, and when it has to end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from loomwire.application.agents.limits import AgentLimits
from loomwire.application.agents.outcomes import ToolOutcome, told
from loomwire.application.agents.runs import AgentRun, AgentTurn, RunEnd, Stop, pending_calls, spent_on
from loomwire.application.resilience.delays import sends_of
from loomwire.domain.errors import LoomError
from loomwire.domain.estimates.tokens import input_tokens, part_bytes, tokens_of
from loomwire.domain.messages import Message
from loomwire.domain.pricing import FREE, Charge, Cost, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import Bound, LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.domain.tools import ToolChoice
from loomwire.domain.values import ToolCall

T = TypeVar("T")

_ENDS: Final[Mapping[str, RunEnd]] = {"length": "cut", "content_filter": "filtered", "error": "incomplete"}


class Journey:
    """One run so far. Lives as long as the run and belongs to one task.

    Args:
        request: What to ask first.
        bound: That of the whole run.
        limits: When to end.

    Attributes:
        request: What to ask next.
        bound: When everything has to be done.
    """

    __slots__ = ("_answers", "_cost", "_limits", "_seen", "_steps", "_tokens", "_turns", "_usage", "bound", "request")

    def __init__(self, request: LLMRequest, bound: Bound, limits: AgentLimits) -> None:
        self.request = request.with_bound(bound)
        self.bound = bound
        self._limits = limits
        self._turns: list[AgentTurn] = []
        self._answers = self._tokens = 0
        self._usage = Usage()
        self._cost: Charge = FREE
        self._steps: tuple[Step, ...] = ()
        self._seen: Counter[tuple[str, str]] = Counter()

    @property
    def pending(self) -> tuple[ToolCall, ...]:
        """The calls that have no results yet."""
        return pending_calls(self.request.messages)

    def add(self, response: LLMResponse[str]) -> None:
        """Take in an answer, reasoning and signatures as they came."""
        self._count(response, self._estimated(response))
        self._turns.append(AgentTurn(response))
        if not response.degraded:
            self.request = self.request.extended(response.message)
        further = sends_of(response.steps) - 1
        if further > 0:
            # Retries of all answers together have one limit; an answer's first send is no retry.
            self.bound = replace(self.bound, sent=self.bound.sent + further)
            self.request = self.request.with_bound(self.bound)

    def concluded(self, asked: LLMRequest, answer: LLMResponse[T]) -> AgentRun[T]:
        """Take in the answer that comes as an object, and return the run with it."""
        self._count(answer, 0)
        if answer.degraded:
            return self.run("degraded")
        self.request = asked.extended(answer.message)
        return self.run("answered", answer)

    def used(self, outcomes: Sequence[ToolOutcome]) -> None:
        """Take in the results of the calls that were pending, in their order."""
        turn = self._turns.pop() if self._turns else AgentTurn(None)
        self._turns.append(replace(turn, outcomes=tuple(outcomes)))
        self._steps += tuple(outcome.step for outcome in outcomes)
        message = Message.tool(*(outcome.result for outcome in outcomes))
        # A choice that forces a call is obeyed by now: kept, it would force one for ever.
        choice: ToolChoice = "none" if self.request.tool_choice == "none" else "auto"
        self.request = replace(self.request.extended(message), tool_choice=choice)

    def ended_by(self, response: LLMResponse[str]) -> RunEnd:
        """Say how a run ends with an answer that calls no tool."""
        if response.degraded:
            return "degraded"
        if response.refusal is not None:
            return "refused"
        return _ENDS.get(response.finish or "", "answered")

    def stopped(self) -> Stop | None:
        """Say which limit keeps the model from being asked again, or None."""
        limits, most = self._limits, self._limits.cost_micro_usd
        if most is not None and not isinstance(self._cost, Cost):
            return "unpriced"
        if most is not None and isinstance(self._cost, Cost) and self._cost.micro_usd >= most:
            return "cost_limit"
        if limits.tokens is not None and self._tokens >= limits.tokens:
            return "token_limit"
        if self._answers >= limits.steps:
            return "step_limit"
        return None

    def stopped_by(self, calls: Sequence[ToolCall]) -> Stop | None:
        """Count calls, and say which limit keeps them from being run, or None."""
        self._seen.update(map(_key, calls))
        if self._seen.total() > self._limits.calls:
            return "call_limit"
        return "repeating" if any(self._seen[_key(call)] > self._limits.repeats + 1 for call in calls) else None

    def refused(self, call: ToolCall) -> ToolOutcome | None:
        """Return what the model is told of a call that is made too often, or None for a call to run."""
        if self._seen[_key(call)] <= self._limits.repeats:
            return None
        words = "The tool was not called again: the same call was answered before. Use what it said, or do otherwise."
        return told(call, "repeated", words)

    def run(self, ended: RunEnd, answer: LLMResponse[T] | None = None) -> AgentRun[T]:
        """Return the run as it is now."""
        return AgentRun(ended, answer, self.request.messages, tuple(self._turns), self._usage, self._cost, self._steps)

    def charge(self, error: LoomError) -> None:
        """Tell an error that ends the run what was spent before it, and the way there."""
        error.steps = (*self._steps, *error.steps)
        if self._answers:
            spent = spent_on(self._answers, self._usage, self._cost)
            error.metadata = {**error.metadata, "spent": spent}

    def _count(self, response: LLMResponse[T], tokens: int) -> None:
        self._answers += not response.degraded
        self._tokens += response.usage.total_tokens if response.usage.known else tokens
        self._usage += response.usage
        self._cost += response.cost
        self._steps += response.steps

    def _estimated(self, response: LLMResponse[str]) -> int:
        if response.usage.known or self._limits.tokens is None:
            return 0
        return input_tokens(self.request) + tokens_of(sum(map(part_bytes, response.message.parts)))


def _key(call: ToolCall) -> tuple[str, str]:
    # The order of the keys is the model's whim.
    if call.arguments is None:
        return call.name, call.raw_arguments
    return call.name, json.dumps(call.arguments, sort_keys=True, default=dict)
