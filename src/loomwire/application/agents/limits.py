"""How far an agent may go."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from loomwire.domain.errors import LLMValidationError
from loomwire.domain.pricing import MICRO_USD


@dataclass(frozen=True, slots=True)
class AgentLimits:
    """Where a run of an agent ends, however little it has achieved. What was paid for is looked at after every answer.

    Attributes:
        steps: Answers of the model, at least 1.
        tokens: Tokens of all answers, input and output; the answer that passes it is the last. None sets no limit.
            Where a provider says nothing of its usage, it is estimated for this limit.
        cost_usd: US dollars for all answers; the answer that passes it is the last. Models without a known price are
            not asked at all. None sets no limit.
        calls: Tool calls of the whole run, at least 1; of an answer that asks for more, none is run.
        repeats: How often the same tool is called with the same arguments, at least 1. The call after that is not run
            and the model is told so; the next one ends the run.

    Raises:
        LLMValidationError: A number that would never let it begin; the message says which.
    """

    steps: int = 10
    tokens: int | None = None
    cost_usd: Decimal | None = None
    calls: int = 100
    repeats: int = 3

    def __post_init__(self) -> None:
        """Refuse limits below which nothing is possible."""
        cost = None if self.cost_usd is None else float(self.cost_usd)
        given = {
            "steps": self.steps,
            "tokens": self.tokens,
            "calls": self.calls,
            "repeats": self.repeats,
            "cost_usd": cost,
        }
        for name, value in given.items():
            least = 0.0 if name == "cost_usd" else 1.0
            if value is not None and not (least <= value < math.inf and value > 0):
                raise LLMValidationError(f"limits.{name} must be a positive number", hint=f"Correct {name}.")

    @property
    def cost_micro_usd(self) -> int | None:
        """The cost limit in millionths of a US dollar, rounded down; None without one."""
        return None if self.cost_usd is None else int(self.cost_usd * MICRO_USD)
