"""Calls that are given up at any await of the whole chain, and while their container closes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.soak.figures import Measured
from support.cancelling import cancelled_calls


async def cancellation(cancels: int) -> Sequence[Measured]:
    """Cancel so many calls wherever the dice say, and look at what did not come back."""
    left = await cancelled_calls(cancels)
    return (
        Measured(title="cancelled", value=left.cancelled, bar=cancels, more_is_better=True),
        Measured(title="answered", value=left.ends["answered"]),
        *(Measured(title=f"answered with a step of {layer}", value=count) for layer, count in sorted(left.met.items())),
        *(Measured(title=f"ended in {code}", value=count) for code, count in _errors(left.ends)),
        Measured(title="errors without a type", value=len(left.untyped), bar=0),
        *(Measured(title=f"{what} that did not come back", value=count, bar=0) for what, count in left.held.items()),
        Measured(title="of 20 fresh calls each, not answered", value=left.unanswered, bar=0),
        Measured(title="descriptors more than before", value=left.descriptors, bar=0),
        Measured(title="tasks more than before", value=left.tasks, bar=0),
    )


def _errors(ends: Mapping[str, int]) -> Sequence[tuple[str, int]]:
    return sorted((end, count) for end, count in ends.items() if end not in ("cancelled", "answered"))
