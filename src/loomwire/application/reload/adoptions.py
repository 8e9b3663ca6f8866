"""What a reload put in force: all that a container needs of results before its first reload."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from loomwire.domain.config import Snapshot
from loomwire.domain.values import JSON


@dataclass(frozen=True, slots=True)
class Diff:
    """Names of the clients that differ between two configurations, sorted.

    Attributes:
        added: New ones.
        removed: Gone ones; who holds them gets `ClientRemovedError`.
        changed: Those that answer differently from now on; all others kept their chain and their connections.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    @classmethod
    def between(cls, old: Snapshot, new: Snapshot) -> Diff:
        """Compare two configurations; clients that are the same are the same objects."""
        before, after = old.clients, new.clients
        return cls(
            tuple(sorted(after.keys() - before.keys())),
            tuple(sorted(before.keys() - after.keys())),
            tuple(sorted(name for name in after.keys() & before.keys() if after[name] is not before[name])),
        )

    def to_dict(self) -> dict[str, JSON]:
        """Return the diff as JSON."""
        return {"added": list(self.added), "removed": list(self.removed), "changed": list(self.changed)}


@dataclass(frozen=True, slots=True)
class Adoption:
    """One configuration that came into force.

    Attributes:
        number: Its generation.
        digest: Identifies its content.
        when: Wall time, for display.
        files: The files it came from.
        diff: What it changed.
        rolled_back_to: The generation whose configuration this is again, or None.
        snapshot: The configuration.
    """

    number: int
    digest: str
    when: datetime
    files: tuple[str, ...]
    diff: Diff
    rolled_back_to: int | None = None
    snapshot: Snapshot = field(kw_only=True, repr=False)

    def to_dict(self) -> dict[str, JSON]:
        """Return the adoption as JSON, without the configuration itself."""
        return {
            "generation": self.number,
            "digest": self.digest,
            "when": self.when.isoformat(timespec="milliseconds"),
            "files": list(self.files),
            "rolled_back_to": self.rolled_back_to,
            **self.diff.to_dict(),
        }
