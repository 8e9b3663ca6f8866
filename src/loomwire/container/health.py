"""What a container says about itself and its providers."""

from __future__ import annotations

import asyncio
import importlib
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from loomwire.application.health.group import ProviderGroup
from loomwire.application.health.monitor import ProviderHealthMonitor, watch
from loomwire.application.loop_thread import LoopThread
from loomwire.application.pipeline import client_key, target_key
from loomwire.application.registry import ClientRegistry
from loomwire.application.reload.drains import Drains
from loomwire.application.reload.store import ConfigStore
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ClientRemovedError
from loomwire.domain.policies import HealthPolicy

if TYPE_CHECKING:
    from dependency_injector import containers

    from loomwire.container.operating.report import ContainerHealth
    from loomwire.domain.reports.health import ProviderHealth
    from loomwire.domain.reports.reach import Reach
    from loomwire.infrastructure.health.prober import HealthProber
    from loomwire.infrastructure.watching.watcher import ConfigWatcher

JUDGE: Final = "loomwire.application.health.judging"


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
        # Here, because the loop that looks would stand still meanwhile.
        importlib.import_module(JUDGE)
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
        importlib.import_module(JUDGE)
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
        # Whoever never asks spares 2 ms at the start.
        from loomwire.container.operating.report import ContainerHealth

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
