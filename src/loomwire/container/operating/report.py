"""ContainerHealth: how a container does at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from loomwire.application.reload.results import Rejection, SlowListener
from loomwire.application.state.breaking.permits import CircuitStatus
from loomwire.application.state.counts import CallCounts
from loomwire.domain.ports.pool import PoolStats
from loomwire.domain.reports.health import ProviderHealth
from loomwire.domain.reports.problems import Problem
from loomwire.domain.values import JSON
from loomwire.infrastructure.watching.watcher import WatcherStatus


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
        in_flight: Calls and pinned runs that go on now, on whatever generation.
        warnings: What the configuration's check found and let pass.
        closed: The container refuses new calls.
        age_s: Seconds since the generation came into force.
        since: Per client the generation for which it was last built anew.
        draining: Replaced generations that still have calls.
        rejection: The edit that is bad and so not in force, or None.
        rolled_back_to: The generation that is in force again instead of what the files say, or None.
        watcher: What the watcher is doing; None when nobody watches.
        listeners: Plain listeners of reloads that have been running for more than a second, or missed events since.
        circuits: Every circuit, by name: each provider's, then its models'.
        providers: How well each provider does, by name; what to do about it is in there.
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
    age_s: float = 0.0
    since: Mapping[str, int] = field(default_factory=dict)
    draining: int = 0
    rejection: Rejection | None = None
    watcher: WatcherStatus | None = None
    rolled_back_to: int | None = None
    listeners: tuple[SlowListener, ...] = ()
    circuits: tuple[CircuitStatus, ...] = ()
    providers: tuple[ProviderHealth, ...] = ()

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
            "age_s": round(self.age_s, 3),
            "since": dict(self.since),
            "draining": self.draining,
            "rejection": None if self.rejection is None else self.rejection.to_dict(),
            "rolled_back_to": self.rolled_back_to,
            "listeners": [listener.to_dict() for listener in self.listeners],
            "watcher": None if self.watcher is None else asdict(self.watcher),
            "circuits": [circuit.to_dict() for circuit in self.circuits],
            "providers": [provider.to_dict() for provider in self.providers],
        }
