"""Calls that are cancelled while they wait before a limit, while they are served, and twice."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.soak.figures import Measured
from support.limiting import cancelled_waiters


async def waiters(calls: int) -> Sequence[Measured]:
    """Put so many calls before a narrow lane, cancel half of them, and look at what is left of the lane."""
    leaked = await cancelled_waiters(calls)
    left = leaked.statistics
    return (
        Measured(title="served", value=leaked.ends["served"]),
        Measured(title="cancelled", value=leaked.ends["cancelled"]),
        Measured(title="slots that did not come back", value=left.in_use, bar=0),
        Measured(title="waiters that were forgotten", value=left.waiting, bar=0),
        Measured(title="requests charged and not sent", value=abs(leaked.charged[0] - leaked.served[0]), bar=0),
        Measured(title="tokens charged and not used", value=abs(leaked.charged[1] - leaked.served[1]), bar=0),
    )
