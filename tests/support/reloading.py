"""Configurations that change: sources written in code, and waiting for what a reload does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from typing_extensions import override

from loomwire.application.generation import build_generation
from loomwire.application.pipeline import Parts
from loomwire.application.registry import ClientRegistry
from loomwire.application.reload.drains import Drains
from loomwire.application.reload.results import Diff
from loomwire.application.reload.store import ConfigStore
from loomwire.container.facade import LLMContainer
from loomwire.domain.config import ClientConfig, LLMConfig, Snapshot
from loomwire.domain.policies import TransportPolicy
from loomwire.domain.ports.client import ILLMClient, ILLMClientFactory
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.config import ConfigReading, IConfigSource
from loomwire.domain.ports.pool import ConnectionLease, IConnectionPool, Place, PoolStats
from loomwire.domain.reports.problems import Problem
from loomwire.domain.requests import Bound
from loomwire.testing import ScriptedClient
from support.chains import parts, target

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class QueuedSource(IConfigSource):
    """Gives the readings it was told to, the last one again and again, and remembers what was in force."""

    def __init__(self, *readings: ConfigReading) -> None:
        self.readings = list(readings)
        self.befores: list[Snapshot | None] = []

    @override
    def read(self, before: Snapshot | None) -> ConfigReading:
        self.befores.append(before)
        return self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]


class BreakingFactory(ILLMClientFactory):
    """Cannot build one model."""

    def __init__(self, error: Exception, broken: str = "bad") -> None:
        self.error = error
        self.broken = broken

    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        if config.model == self.broken:
            raise self.error
        return ScriptedClient(then="answer")


class NotingPool(IConnectionPool):
    """Lends nothing and notes which places are gone."""

    def __init__(self) -> None:
        self.closed: list[tuple[set[Place], set[Place]]] = []

    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = TransportPolicy(), bound: Bound | None = None
    ) -> ConnectionLease:
        raise NotImplementedError

    @override
    def release(self, lease: ConnectionLease) -> None:
        raise NotImplementedError

    @override
    def get_stats(self) -> PoolStats:
        return PoolStats()

    @override
    async def aclose(self) -> None:
        raise NotImplementedError

    @override
    def close_unused(self, gone: Collection[Place], used: Collection[Place]) -> None:
        self.closed.append((set(gone), set(used)))


def named(*clients: ClientConfig, digest: str, sealed: bool = False, allow_shrink: bool = False) -> Snapshot:
    """Return a configuration of these clients."""
    return Snapshot(
        digest=digest,
        clients={client.name: client for client in clients},
        models={},
        files=("config/a.yaml",),
        sealed=sealed,
        allow_shrink=allow_shrink,
    )


def client(name: str, model: str = "m") -> ClientConfig:
    """Return a client of one scripted model."""
    return ClientConfig(name=name, targets=(target(model),))


def good(snapshot: Snapshot) -> ConfigReading:
    """Return a reading that may come into force."""
    return ConfigReading(snapshot.digest, snapshot, snapshot.warnings)


def bad(digest: str, message: str = "the text breaks off") -> ConfigReading:
    """Return a reading that may not."""
    return ConfigReading(digest, None, (Problem("not_yaml", message, file="config/a.yaml", line=3, column=1),))


def store_of(
    first: Snapshot,
    *readings: ConfigReading,
    made: Parts | None = None,
    pool: IConnectionPool | None = None,
    clock: IClock | None = None,
    keep: int = 10,
) -> tuple[ConfigStore, ClientRegistry]:
    """Return a store over a configuration in force and the readings to come, and the registry it keeps up to date."""
    made = made or parts(ScriptedClient(then="answer"), clock)
    registry = ClientRegistry(build_generation(1, first, made))
    drains = Drains(pool or NotingPool(), made.clock, lambda: registry.generation)
    source = QueuedSource(*readings) if readings else None
    return ConfigStore(registry, source, made, drains, keep=keep, today=lambda: NOON), registry


class Watched:
    """Counts what listeners of a container are told, and lets a test wait for it."""

    def __init__(self, container: LLMContainer) -> None:
        self.updates: list[Diff] = []
        self.rejections: list[tuple[Problem, ...]] = []
        self._news = threading.Condition()
        container.on_config_updated(self._updated)
        container.on_config_rejected(self._rejected)

    def until(self, condition: Callable[[], bool], within_s: float = 5.0) -> None:
        """Wait until a condition holds; asked after every reload."""
        with self._news:
            assert self._news.wait_for(condition, within_s), (self.updates, self.rejections)

    def _updated(self, old: Snapshot, new: Snapshot, diff: Diff) -> None:
        with self._news:
            self.updates.append(diff)
            self._news.notify_all()

    def _rejected(self, kept: Snapshot, problems: tuple[Problem, ...]) -> None:
        with self._news:
            self.rejections.append(problems)
            self._news.notify_all()
