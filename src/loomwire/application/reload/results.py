"""What a reload did: values for listeners, health and history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from loomwire.application.reload.adoptions import Adoption, Diff
from loomwire.domain.reports.problems import Problem
from loomwire.domain.values import JSON

__all__ = ["Adoption", "Diff", "Outcome", "Rejection", "ReloadResult", "SlowListener"]

Outcome: TypeAlias = Literal["adopted", "unchanged", "rejected"]


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """How a reload ended.

    Attributes:
        outcome: A new generation is in force, nothing is new, or what is new is bad.
        generation: The number of the generation in force now.
        digest: Identifies what was read.
        diff: What the new generation changed; empty unless adopted.
        problems: Why it was rejected, with warnings among them; those of an adopted one are in its snapshot too.
    """

    outcome: Outcome
    generation: int
    digest: str
    diff: Diff = Diff()
    problems: tuple[Problem, ...] = ()

    def to_dict(self) -> dict[str, JSON]:
        """Return the result as JSON; of the problems what a line needs."""
        return {
            "outcome": self.outcome,
            "generation": self.generation,
            "digest": self.digest,
            **self.diff.to_dict(),
            "problems": [{"code": each.code, "place": each.place, "message": each.message} for each in self.problems],
        }


@dataclass(frozen=True, slots=True)
class Rejection:
    """The last configuration that did not come into force, as long as it stands.

    Attributes:
        digest: Identifies its content.
        when: Wall time, for display.
        problems: Why.
    """

    digest: str
    when: datetime
    problems: tuple[Problem, ...]

    @property
    def first(self) -> Problem | None:
        """The first error."""
        return next((problem for problem in self.problems if problem.severity == "error"), None)

    def to_dict(self) -> dict[str, JSON]:
        """Return the rejection as JSON: its first error, and how many problems there are."""
        first = self.first
        return {
            "digest": self.digest,
            "when": self.when.isoformat(timespec="milliseconds"),
            "problems": len(self.problems),
            "code": None if first is None else first.code,
            "file": None if first is None else first.file,
            "line": None if first is None else first.line,
            "message": None if first is None else first.message,
        }


@dataclass(frozen=True, slots=True)
class SlowListener:
    """A plain listener of reloads that takes too long, or took: it is told late, and everybody else without it.

    Attributes:
        name: Its qualified name.
        running_s: For how long it has been running; 0 when it is done.
        waiting: How many events it has yet to be told of.
        dropped: How many it never is, because too many waited.
    """

    name: str
    running_s: float
    waiting: int
    dropped: int

    def to_dict(self) -> dict[str, JSON]:
        """Return it as JSON."""
        running_s = round(self.running_s, 3)
        return {"name": self.name, "running_s": running_s, "waiting": self.waiting, "dropped": self.dropped}
