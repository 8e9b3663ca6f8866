"""What a container says about itself and its providers."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from loomwire.application.health.group import ProviderGroup
from loomwire.application.health.monitor import ProviderHealthMonitor, watch
from loomwire.application.loop_thread import LoopThread
from loomwire.application.pipeline import client_key, target_key
from loomwire.application.registry import ClientRegistry
from loomwire.application.reload.drains import Drains
from loomwire.application.reload.results import Rejection, SlowListener
from loomwire.application.reload.store import ConfigStore
from loomwire.application.state.breaking.permits import CircuitStatus
from loomwire.application.state.counts import CallCounts
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ClientRemovedError
from loomwire.domain.policies import HealthPolicy
from loomwire.domain.ports.pool import PoolStats
from loomwire.domain.reports.health import ProviderHealth
from loomwire.domain.reports.problems import Problem
from loomwire.domain.reports.reach import Reach
from loomwire.domain.values import JSON
from loomwire.infrastructure.watching.watcher import ConfigWatcher, WatcherStatus

if TYPE_CHECKING:
    from dependency_injector import containers

    from loomwire.infrastructure.health.prober import HealthProber


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


class Looking:
    """Looks after the providers of a container.

    Args:
        wiring: The parts.
        registry: Says which providers there are.
        threads: Where the background runs.

    Attributes:
        monitor: Tells how they do.
        ports: The parts that a container hands out.
    """

    def __init__(self, wiring: containers.Container, registry: ClientRegistry, threads: LoopThread) -> None:
        """Look at nobody yet."""
        self._threads = threads
        self.monitor = ProviderHealthMonitor(registry, wiring.parts(), _FirstProbe(wiring))
        self._group = ProviderGroup(registry, wiring.parts(), self.monitor)
        monitor = self.monitor
        self.ports: Mapping[object, Callable[[], ProviderHealthMonitor]] = {ProviderHealthMonitor: lambda: monitor}
        wiring.provider_manager().operate(self._group)

    def start(self) -> None:
        """Begin to look at providers without traffic in the background; closing the container ends it."""
        with suppress(ClientRemovedError):
            self._threads.begin(watch(weakref.ref(self.monitor)))


class _FirstProbe:
    """Has the prober made when somebody looks first, on a thread, because that imports the network."""

    __slots__ = ("_prober", "_wiring")

    def __init__(self, wiring: containers.Container) -> None:
        self._wiring = wiring
        self._prober: HealthProber | None = None

    async def __call__(self, target: LLMConfig, policy: HealthPolicy) -> Reach:
        prober = self._prober
        if prober is None:
            prober = self._prober = await asyncio.to_thread(self._made)
        return await prober.look(target, policy)

    def _made(self) -> HealthProber:
        made: HealthProber = self._wiring.health_prober()
        return made


class HealthDoor:
    """The part of a container that tells how it and its providers do. Safe for threads and event loops."""

    wiring: containers.Container
    _drains: Drains
    _looking: Looking
    _registry: ClientRegistry
    _store: ConfigStore
    _watcher: ConfigWatcher | None

    def health(self) -> ContainerHealth:
        """Return generation, totals and connections as of now. Cheap, safe from any thread."""
        self._drains.sweep()
        generation = self._registry.generation
        stats = self.wiring.call_stats()
        targets = {t.target: target_key(t) for e in generation.entries.values() for t in e.config.targets}
        return ContainerHealth(
            generation=generation.number,
            digest=generation.snapshot.digest,
            files=generation.snapshot.files,
            clients={name: stats.counts(client_key(name)) for name in generation.entries},
            targets={target: stats.counts(key) for target, key in targets.items()},
            pool=self.wiring.connection_pool().get_stats(),
            in_flight=generation.leases + self._drains.leases,
            warnings=generation.snapshot.warnings,
            closed=self._registry.closed,
            age_s=self._store.age_s,
            since={name: entry.since for name, entry in generation.entries.items()},
            draining=self._drains.waiting,
            rejection=self._store.rejection,
            watcher=None if self._watcher is None else self._watcher.status,
            rolled_back_to=self._store.rolled_back_to,
            listeners=self._store.slow,
            circuits=self.wiring.target_states().circuits.statuses(),
            providers=self._looking.monitor.health(),
        )

    def provider_health(self, provider: str | None = None) -> tuple[ProviderHealth, ...]:
        """Return how well every provider does, or one, and what to do about it. Cheap, and sends nothing.

        It tells what calls met, and what the last look found: with `watch` every `health.interval` at providers whose
        models had no call meanwhile or are left alone, and whenever `check_providers` is awaited.

        Raises:
            UnknownNameError: No client has a model of that provider.

        Example:
            >>> from loomwire import LLMContainer
            >>> with LLMContainer.open("config", watch=False) as container:
            ...     [health.provider for health in container.provider_health()]
            ['offline']
        """
        return self._looking.monitor.health(provider)

    async def check_providers(self, provider: str | None = None) -> tuple[ProviderHealth, ...]:
        """Look at every provider now, or at one, and return how they do.

        A look asks no model and costs nothing: it fetches a version or a list of models with the provider's key.
        Where there is nothing like that nobody looks, unless `health.paid_probe` allows a call of one token.

        Raises:
            UnknownNameError: No client has a model of that provider.
            ClientRemovedError: reason closed.
        """
        if self._registry.closed:
            raise ClientRemovedError("the container is closed", reason="closed")
        return await self._looking.monitor.look(provider)
