"""What a container says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from loomwire.application.state.counts import CallCounts
from loomwire.domain.faults import Problem
from loomwire.domain.ports.pool import PoolStats
from loomwire.domain.values import JSON


@dataclass(frozen=True, slots=True)
class ContainerHealth:
    """The state of a container at one moment.

    Attributes:
        generation: Number of the configuration in force, from 1.
        digest: Identifies its content.
        files: The files it came from.
        clients: Totals per client name.
        targets: Totals per provider/model.
        pool: Connections over all origins; all 0 while no networked provider was used.
        in_flight: Calls that run now.
        warnings: What the configuration's check found and let pass.
        closed: The container refuses new calls.
    """

    generation: int
    digest: str
    files: tuple[str, ...]
    clients: Mapping[str, CallCounts]
    targets: Mapping[str, CallCounts]
    pool: PoolStats
    in_flight: int
    warnings: tuple[Problem, ...]
    closed: bool

    def to_dict(self) -> dict[str, JSON]:
        """Return the health as JSON."""
        return {
            "schema": "loomwire/health/1",
            "generation": self.generation,
            "digest": self.digest,
            "files": list(self.files),
            "clients": {name: counts.to_dict() for name, counts in self.clients.items()},
            "targets": {name: counts.to_dict() for name, counts in self.targets.items()},
            "pool": asdict(self.pool),
            "in_flight": self.in_flight,
            "warnings": [problem.message for problem in self.warnings],
            "closed": self.closed,
        }
