"""What layers decided during a call."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from loomwire.domain.values import JSON


@dataclass(frozen=True, slots=True)
class Step:
    """One decision a layer made during a call, noted on the response or the error on its way up.

    Attributes:
        layer: Who decided, such as `attempt`, `fallback`, `typed`.
        target: provider/model, or "" when no target was involved.
        outcome: What happened, such as `answered`, `failed`, `reasked`.
        reason: A reason of `FAULTS` when it failed, else "".
        waited_s: Seconds spent waiting before it.
        latency_s: Seconds it took.
    """

    layer: str
    target: str = ""
    outcome: str = ""
    reason: str = ""
    waited_s: float = 0.0
    latency_s: float = 0.0

    def to_dict(self) -> dict[str, JSON]:
        """Return the step as JSON."""
        return {
            "layer": self.layer,
            "target": self.target,
            "outcome": self.outcome,
            "reason": self.reason,
            "waited_s": round(self.waited_s, 6),
            "latency_s": round(self.latency_s, 6),
        }

    @override
    def __str__(self) -> str:
        why = f" ({self.reason})" if self.reason else ""
        done = " ".join(word for word in (self.layer, self.target, self.outcome) if word)
        return f"{done}{why} after {self.latency_s:.3f} s"
