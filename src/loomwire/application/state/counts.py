"""What one client or one target did, as numbers that do not change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from loomwire.domain.values import JSON


@dataclass(frozen=True, slots=True)
class CallCounts:
    """Totals of one client or one target.

    Attributes:
        answered: Calls that ended with an answer.
        failed: Calls that ended with an error.
        cancelled: Calls the caller cancelled.
        abandoned: Streams the caller left early.
        input_tokens: All input tokens the providers reported.
        output_tokens: All output tokens the providers reported.
        cost_micro_usd: The known costs, in millionths of a US dollar.
        unpriced: Answers whose cost is not known.
        latency_s: Seconds, summed over answered and failed calls.
        errors: How often each error code came.
    """

    answered: int = 0
    failed: int = 0
    cancelled: int = 0
    abandoned: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micro_usd: int = 0
    unpriced: int = 0
    latency_s: float = 0.0
    errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def success_rate(self) -> float | None:
        """Answered over answered and failed; None before the first. Cancelled and abandoned calls count for nobody."""
        judged = self.answered + self.failed
        return self.answered / judged if judged else None

    def to_dict(self) -> dict[str, JSON]:
        """Return the counts as JSON."""
        return {
            "answered": self.answered,
            "failed": self.failed,
            "cancelled": self.cancelled,
            "abandoned": self.abandoned,
            "success_rate": self.success_rate,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost_micro_usd": self.cost_micro_usd,
            "unpriced": self.unpriced,
            "latency_s": round(self.latency_s, 6),
            "errors": dict(self.errors),
        }
