"""Which failures say something of the provider, and how good that makes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final

from loomwire.application.state.counts import CallCounts
from loomwire.application.state.stats import Ended
from loomwire.domain.faults import CODES

# Nothing trips and nothing rests for these, and still it is the provider that did not do its part.
_THEIRS: Final = frozenset({"conflict", "unsupported", "redirect", "unknown"})


def counts_against(code: str) -> bool:
    """Tell whether an error of this code says something of the provider, and not of the caller or of us.

    Args:
        code: Such as NET002; one that nobody knows, of another package, counts.
    """
    fault = CODES.get(code)
    if fault is None:
        return True
    told = fault.disposition
    return told.trips_breaker or told.cooldown_s is not None or fault.reason in _THEIRS


def failures(counts: CallCounts) -> int:
    """Return how many of the failures counted say something of the provider."""
    return sum(times for code, times in counts.errors.items() if counts_against(code))


def total(several: Iterable[CallCounts]) -> CallCounts:
    """Add up the counts of some targets."""
    return reduce(_added, several, CallCounts())


def _added(one: CallCounts, other: CallCounts) -> CallCounts:
    return CallCounts(
        one.answered + other.answered,
        one.failed + other.failed,
        one.cancelled + other.cancelled,
        one.abandoned + other.abandoned,
        one.input_tokens + other.input_tokens,
        one.output_tokens + other.output_tokens,
        one.cost_micro_usd + other.cost_micro_usd,
        one.unpriced + other.unpriced,
        one.latency_s + other.latency_s,
        dict(Counter(one.errors) + Counter(other.errors)),
    )


def rate(answered: int, failed: int) -> float | None:
    """Return the share of answers, or None when there is nothing to judge."""
    judged = answered + failed
    return answered / judged if judged else None


@dataclass(frozen=True, slots=True)
class Lately:
    """What the last minutes were like.

    Attributes:
        answers: The latencies of the answers in seconds, the shortest first.
        failures: The codes of the failures that count, the oldest first.
    """

    answers: tuple[float, ...] = ()
    failures: tuple[str, ...] = ()

    @property
    def calls(self) -> int:
        """Answers, and failures that count."""
        return len(self.answers) + len(self.failures)

    @property
    def success_rate(self) -> float | None:
        """The share of answers, or None."""
        return rate(len(self.answers), len(self.failures))

    def within_s(self, share: float) -> float | None:
        """Return the seconds within which a share of the answers came, 0 to 1; None without any."""
        return self.answers[min(len(self.answers) - 1, int(len(self.answers) * share))] if self.answers else None

    @classmethod
    def since(cls, at: float, endings: Sequence[Ended]) -> Lately:
        """Judge the endings after an instant."""
        late = [ended for ended in endings if ended[0] >= at]
        codes = (code for _, _, code in late if code and counts_against(code))
        return cls(tuple(sorted(took for _, took, code in late if not code)), tuple(codes))

    @classmethod
    def merged(cls, several: Iterable[Lately]) -> Lately:
        """Put several together; the order of failures says nothing any more."""
        known = tuple(several)
        answers = sorted(took for each in known for took in each.answers)
        return cls(tuple(answers), tuple(code for each in known for code in each.failures))
