"""What became of the calls that a model asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from loomwire.domain.errors import ToolExecutionError
from loomwire.domain.messages import Message, ToolResult
from loomwire.domain.reports.steps import Step
from loomwire.domain.values import ToolCall, masked

ToolEnd: TypeAlias = Literal["answered", "failed", "unknown", "cut", "invalid", "repeated"]
"""How a call ended. Only `answered` and `failed` ran, or tried to; the others are the model's mistakes."""


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """One call and what became of it.

    Attributes:
        call: What the model asked for.
        result: What the model is told; `is_error` unless it was answered.
        ended: How it ended.
        error: What failed, with its cause; None unless `ended` is failed.
        latency_s: Seconds it took, waits included.
        tries: How often the function was called.
    """

    call: ToolCall
    result: ToolResult
    ended: ToolEnd
    error: ToolExecutionError | None = None
    latency_s: float = 0.0
    tries: int = 0

    @property
    def ok(self) -> bool:
        """Whether the tool answered."""
        return self.ended == "answered"

    @property
    def step(self) -> Step:
        """The outcome among the steps of a run."""
        reason = self.error.reason if self.error is not None else ""
        return Step("tool", masked(self.call.name), self.ended, reason, latency_s=self.latency_s)


@dataclass(frozen=True, slots=True)
class ToolRun:
    """What became of all calls of one answer, in the order of the calls."""

    outcomes: tuple[ToolOutcome, ...]

    @property
    def results(self) -> tuple[ToolResult, ...]:
        """What the model is told."""
        return tuple(outcome.result for outcome in self.outcomes)

    @property
    def message(self) -> Message:
        """The results as the message that goes back to the model.

        Raises:
            LLMValidationError: There were no calls.
        """
        return Message.tool(*self.results)

    @property
    def errors(self) -> tuple[ToolExecutionError, ...]:
        """What failed; the model's own mistakes are not among it."""
        return tuple(outcome.error for outcome in self.outcomes if outcome.error is not None)

    @property
    def ok(self) -> bool:
        """Whether every tool answered."""
        return all(outcome.ok for outcome in self.outcomes)

    @property
    def steps(self) -> tuple[Step, ...]:
        """One step per call."""
        return tuple(outcome.step for outcome in self.outcomes)


def told(call: ToolCall, ended: ToolEnd, words: str) -> ToolOutcome:
    """Return the outcome of a call that is not run, with what the model has to know."""
    return ToolOutcome(call, ToolResult(call.id, words, call.name, is_error=True), ended)


def problems_told(call: ToolCall, problems: Sequence[str]) -> ToolOutcome:
    """Return the outcome of a call whose arguments do not fit."""
    listed = "\n".join(f"- {problem}" for problem in problems)
    return told(call, "invalid", f"The tool was not called: the arguments do not fit its schema.\n{listed}")
