"""What a run of an agent did, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeAlias, TypeVar

from loomwire.application.agents.outcomes import ToolOutcome
from loomwire.domain.errors import AgentStoppedError
from loomwire.domain.messages import Message
from loomwire.domain.pricing import Charge, Cost, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import JSON, JSONObject, ToolCall

T = TypeVar("T")

Stop: TypeAlias = Literal["step_limit", "token_limit", "cost_limit", "unpriced", "call_limit", "repeating"]
"""A limit that ended a run."""

RunEnd: TypeAlias = Literal["running", "answered", "cut", "filtered", "refused", "incomplete", "degraded"] | Stop
"""Why a run ended; only `answered` has an answer.

`cut`, `filtered`, `refused` and `incomplete` are last answers that the token limit of one answer, a content filter, the
model itself or the provider's failure ended. `degraded` is a stand-in of `on_exhausted` in place of an answer: its text
is in the last turn, and not in the conversation. `unpriced` is an answer whose cost nobody knows under a cost limit.
`running` is what an observer sees in between.
"""

_WORDS: Final[Mapping[RunEnd, str]] = {
    "running": "the run goes on",
    "cut": "the last answer was cut by max_tokens",
    "filtered": "the provider's content filter stopped the last answer",
    "refused": "the model refused to answer",
    "incomplete": "the last answer is incomplete",
    "degraded": "no model answered, and a stand-in is no answer",
    "step_limit": "the limit of steps was reached",
    "token_limit": "the limit of tokens was reached",
    "cost_limit": "the limit of cost was reached",
    "unpriced": "the cost of an answer is not known, so the limit of cost cannot be kept",
    "call_limit": "the limit of tool calls was reached",
    "repeating": "the model repeats the same tool call",
}


@dataclass(frozen=True, slots=True)
class AgentTurn:
    """One answer of the model and what became of its tool calls.

    Attributes:
        response: The answer; None for calls of an earlier run that this one began with.
        outcomes: One per call that was looked at, in order.
    """

    response: LLMResponse[str] | None
    outcomes: tuple[ToolOutcome, ...] = ()


@dataclass(frozen=True)  # generic: CPython 3.11 cannot slot a frozen generic class
class AgentRun(Generic[T]):
    """What a run did. Immutable.

    Attributes:
        ended: Why it ended. Look at it, or read `output`, which raises unless it is `answered`.
        answer: The final answer; None unless `ended` is `answered`.
        messages: The whole conversation, the last answer and every result included. To go on after a limit, ask again
            with these messages: calls that were not run are run first.
        turns: Every answer and what became of its calls.
        usage: Tokens of all answers.
        cost: What all answers cost, or `Unpriced` when that of one is not known.
        steps: Every layer's decision, every attempt and every tool call, in order.
    """

    ended: RunEnd
    answer: LLMResponse[T] | None
    messages: tuple[Message, ...]
    turns: tuple[AgentTurn, ...]
    usage: Usage
    cost: Charge
    steps: tuple[Step, ...]

    @property
    def output(self) -> T:
        """The text of the final answer, or the object of a typed run.

        Raises:
            AgentStoppedError: There is no final answer; the message says why.
        """
        if self.answer is not None:
            return self.answer.output
        error = AgentStoppedError(f"the agent has no answer: {_WORDS[self.ended]}", metadata=self.spent)
        error.steps = self.steps
        raise error

    @property
    def pending(self) -> tuple[ToolCall, ...]:
        """The calls that the model asked for and nobody ran, because the run ended before."""
        return pending_calls(self.messages)

    @property
    def spent(self) -> JSONObject:
        """What it used and cost, as JSON for logs."""
        answers = sum(turn.response is not None and not turn.response.degraded for turn in self.turns)
        return {**spent_on(answers, self.usage, self.cost), "ended": self.ended}


def pending_calls(messages: tuple[Message, ...]) -> tuple[ToolCall, ...]:
    """Return the calls at the end of a conversation that have no results."""
    last = messages[-1]
    return tuple(part for part in last.parts if isinstance(part, ToolCall))


def spent_on(answers: int, usage: Usage, cost: Charge) -> dict[str, JSON]:
    """Return what answers used and cost together, as JSON."""
    return {"answers": answers, "usage": usage.to_dict(), "cost_usd": str(cost.usd) if isinstance(cost, Cost) else None}
