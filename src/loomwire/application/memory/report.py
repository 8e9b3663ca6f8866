"""What a memory manager tells: who holds how much, what it saw, and what it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from loomwire.application.memory.accounts import Account
from loomwire.application.memory.levels import Pressure
from loomwire.domain.ports.memory import LimitSource, MemorySample
from loomwire.domain.values import JSON


@dataclass(frozen=True, slots=True)
class Held:
    """What one holder holds.

    Attributes:
        name: Who.
        held_bytes: How much, by real sizes.
        share: The share of its configured size that it has now; None when it is not known.
    """

    name: str
    held_bytes: int
    share: float | None

    def to_dict(self) -> dict[str, JSON]:
        """Return it as JSON."""
        share = None if self.share is None else round(self.share, 4)
        return {"name": self.name, "held_bytes": self.held_bytes, "share": share}


@dataclass(frozen=True, slots=True)
class LevelChange:
    """The process became shorter of memory, or less short.

    Attributes:
        old: The level before.
        new: The level now.
        rss_bytes: Resident memory that was found.
        limit_bytes: What the process may take.
        source: Who says so.
        at: Monotonic seconds.
    """

    old: Pressure
    new: Pressure
    rss_bytes: int
    limit_bytes: int
    source: LimitSource
    at: float

    def to_dict(self, now: float) -> dict[str, JSON]:
        """Return it as JSON, with its age instead of its instant."""
        return {
            "old": self.old,
            "new": self.new,
            "rss_bytes": self.rss_bytes,
            "limit_bytes": self.limit_bytes,
            "source": self.source,
            "ago_s": round(now - self.at, 3),
        }


@dataclass(frozen=True, slots=True)
class Action:
    """Something that was done to get memory back.

    Attributes:
        what: In words.
        freed_bytes: By how much resident memory fell meanwhile; less than 0 when it grew.
        took_s: Seconds.
        at: Monotonic seconds.
    """

    what: str
    freed_bytes: int
    took_s: float
    at: float

    def to_dict(self, now: float) -> dict[str, JSON]:
        """Return it as JSON, with its age instead of its instant."""
        return {
            "what": self.what,
            "freed_bytes": self.freed_bytes,
            "took_s": round(self.took_s, 4),
            "ago_s": round(now - self.at, 3),
        }


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look found.

    Attributes:
        sample: The process.
        level: How short of memory it was.
        at: Monotonic seconds.
    """

    sample: MemorySample
    level: Pressure
    at: float

    def to_dict(self, now: float) -> dict[str, JSON]:
        """Return it as JSON, with its age instead of its instant."""
        return {"rss_bytes": self.sample.rss_bytes, "level": self.level, "ago_s": round(now - self.at, 3)}


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryReport:
    """How a process does for memory at one moment.

    Attributes:
        level: How short of memory it is.
        level_s: For how many seconds it has been so.
        sample: What the last look found; None before the first.
        holders: Who holds how much that can be given back, the largest first.
        operations: What was tracked, by operation, the largest first.
        samples: What the last looks found, oldest first.
        changes: The last changes of the level, oldest first.
        actions: What was done lately, oldest first.
        looks: How often the process was looked at.
        failures: How often it could not be looked at.
        running: Whether it is looked at again and again.
        now: Monotonic seconds of this report.
    """

    level: Pressure
    level_s: float
    sample: MemorySample | None
    holders: tuple[Held, ...] = ()
    operations: Mapping[str, Account] = field(default_factory=dict)
    samples: tuple[Looked, ...] = ()
    changes: tuple[LevelChange, ...] = ()
    actions: tuple[Action, ...] = ()
    looks: int = 0
    failures: int = 0
    running: bool = False
    now: float = 0.0

    def to_dict(self) -> dict[str, JSON]:
        """Return the report as JSON."""
        return {
            "schema": "loomwire/memory/1",
            "level": self.level,
            "level_s": round(self.level_s, 3),
            "process": None if self.sample is None else _process(self.sample),
            "holders": [held.to_dict() for held in self.holders],
            "operations": {name: account.to_dict() for name, account in self.operations.items()},
            "samples": [looked.to_dict(self.now) for looked in self.samples],
            "changes": [change.to_dict(self.now) for change in self.changes],
            "actions": [action.to_dict(self.now) for action in self.actions],
            "looks": self.looks,
            "failures": self.failures,
            "running": self.running,
        }


def _process(sample: MemorySample) -> dict[str, JSON]:
    return {
        "rss_bytes": sample.rss_bytes,
        "limit_bytes": sample.limit_bytes,
        "share": round(sample.share, 4),
        "source": sample.source,
        "available_bytes": sample.available_bytes,
    }
