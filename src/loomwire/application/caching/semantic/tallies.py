"""SimilarTally: what the semantic cache of one client did, and whether it would have been right."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from loomwire.application.caching.semantic.gate import DIFFERENCES, Difference
from loomwire.domain.values import JSON

NotedLikeness: TypeAlias = Literal["questions", "failures", "near", "passed", "agreed", "differed", "gone"]


@dataclass(frozen=True, slots=True)
class SimilarCounts:
    """What was counted since the process started.

    Attributes:
        questions: Questions that were looked for.
        failures: Questions that could not be embedded in time.
        near: Questions of which one that was remembered is as near as the threshold asks.
        passed: Those of them that passed the second gate too: the hits, or in shadow mode the would-be hits.
        agreed: Would-be hits whose answer was the one that then came.
        differed: Would-be hits whose answer was another one. Models vary their words; look before switching it on.
        gone: Would-be hits whose answer is no longer kept.
        turned_away: Near questions that the second gate refused, by what told them apart.
        entries: Questions that are remembered now.
        size_bytes: What they take.
    """

    questions: int
    failures: int
    near: int
    passed: int
    agreed: int
    differed: int
    gone: int
    turned_away: Mapping[Difference, int]
    entries: int
    size_bytes: int

    @property
    def agreement(self) -> float | None:
        """Share of the would-be hits that would have been right to the letter, 0 to 1; None before the first."""
        judged = self.agreed + self.differed
        return self.agreed / judged if judged else None

    def to_dict(self) -> dict[str, JSON]:
        """Return the counts as JSON."""
        rate = self.agreement
        return {
            "questions": self.questions,
            "failures": self.failures,
            "near": self.near,
            "passed": self.passed,
            "agreed": self.agreed,
            "differed": self.differed,
            "gone": self.gone,
            "agreement": None if rate is None else round(rate, 4),
            "turned_away": {str(name): times for name, times in self.turned_away.items()},
            "entries": self.entries,
            "size_bytes": self.size_bytes,
        }


class SimilarTally:
    """Counts for one client. Safe for several threads; the lock is held for about a microsecond."""

    __slots__ = ("_lock", "_noted", "_turned_away")

    def __init__(self) -> None:
        """Start at nothing."""
        self._noted: Counter[NotedLikeness] = Counter()
        self._turned_away: Counter[Difference] = Counter()
        self.after_fork()

    def after_fork(self) -> None:
        """Take a lock of its own in a child."""
        self._lock = threading.Lock()

    def note(self, what: NotedLikeness) -> None:
        """Count one."""
        with self._lock:
            self._noted[what] += 1

    def turn_away(self, difference: Difference) -> None:
        """Count one that the second gate refused."""
        with self._lock:
            self._turned_away[difference] += 1

    def counts(self, entries: int, size_bytes: int) -> SimilarCounts:
        """Return the totals so far, with what is remembered now."""
        with self._lock:
            noted = self._noted.copy()
            turned_away: Mapping[Difference, int] = {
                name: self._turned_away[name] for name in DIFFERENCES if self._turned_away[name]
            }
        return SimilarCounts(
            questions=noted["questions"],
            failures=noted["failures"],
            near=noted["near"],
            passed=noted["passed"],
            agreed=noted["agreed"],
            differed=noted["differed"],
            gone=noted["gone"],
            turned_away=turned_away,
            entries=entries,
            size_bytes=size_bytes,
        )
