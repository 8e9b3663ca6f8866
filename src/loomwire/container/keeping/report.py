"""CacheReport: what is kept, and what caches did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loomwire.application.caching.semantic.tallies import SimilarCounts
from loomwire.application.caching.tallies import CacheCounts
from loomwire.domain.caching.entries import CacheStatistics
from loomwire.domain.values import JSON


@dataclass(frozen=True, slots=True)
class CacheReport:
    """What is kept now, and what caches did since the process started.

    Attributes:
        levels: Every open level, the fastest first.
        clients: What the caches of each client did, by name.
        similar: What those did that compare questions, by name; nothing where none does.
    """

    levels: Sequence[CacheStatistics]
    clients: Mapping[str, CacheCounts]
    similar: Mapping[str, SimilarCounts]

    def to_dict(self) -> dict[str, JSON]:
        """Return the report as JSON."""
        return {
            "levels": [level.to_dict() for level in self.levels],
            "clients": {name: counts.to_dict() for name, counts in self.clients.items()},
            "similar": {name: counts.to_dict() for name, counts in self.similar.items()},
        }
