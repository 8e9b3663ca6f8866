"""The one table of soaks: their names, what they show, and how large they are in full."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from benchmarks.soak.balance import balance
from benchmarks.soak.cancelling import cancellation
from benchmarks.soak.figures import Measured
from benchmarks.soak.interrupted import interrupted
from benchmarks.soak.limiting import waiters
from benchmarks.soak.outage import outage
from benchmarks.soak.outcomes import outcomes
from benchmarks.soak.retries import retries
from benchmarks.soak.secrets import secrets
from benchmarks.soak.storm import storm

Run: TypeAlias = Callable[[int], Awaitable[Sequence[Measured]]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One soak.

    Attributes:
        says: What it shows, in one line.
        run: Does it, in a size.
        size: How large it is in `dev.py soak`, in calls; a tenth of that in `--full`, a hundredth in the default tests.
        least: Its smallest size that shows anything.
    """

    says: str
    run: Run
    size: int
    least: int = 100

    def part(self, share: float) -> int:
        """Return the size of a part of it."""
        return max(self.least, int(self.size * share))


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "outcomes": Scenario("plain and streamed calls at 30 % faults on three endpoints", outcomes, 100_000),
    "outage": Scenario("all endpoints are down, and come back", outage, 20_000, 2_000),
    "storm": Scenario("rate limits of every kind, in simulated time", storm, 10_000),
    "retries": Scenario("every dialect sends exactly as often as configured", retries, 10_000, 300),
    "interrupted": Scenario("streams that break after their first words", interrupted, 10_000),
    "waiters": Scenario("calls cancelled before and behind a limit, in simulated time", waiters, 100_000),
    "cancellation": Scenario("calls cancelled at any await, and while their container closes", cancellation, 100_000),
    "balance": Scenario("who gets the calls when one endpoint is bad, in simulated time", balance, 40_000, 1_200),
    "secrets": Scenario("canary keys through every fault, every layer and every log", secrets, 10_000),
}
