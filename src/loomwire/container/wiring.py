"""The composition root: the one place that names every concrete class.

About ten sync, eager providers. Nothing async and nothing reloadable lives in a provider: what has a name or changes
with the YAML lives in the registry. A host embeds it with `providers.Container(Wiring, config_root=...)` and may
override any provider.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dependency_injector import containers, providers

from loomwire.application.caching.states import CacheStates
from loomwire.application.generation import build_generation
from loomwire.application.pipeline import Parts
from loomwire.application.registry import ClientRegistry
from loomwire.application.state.stats import CallStats
from loomwire.application.state.targets import TargetStates
from loomwire.container.memory import memory_manager
from loomwire.domain.config import ClientConfig, Snapshot
from loomwire.domain.ports.client import ILLMClientFactory
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.config import IConfigSource
from loomwire.domain.ports.embedding import IEmbedder, IEmbeddingFactory
from loomwire.domain.ports.events import IEventSink
from loomwire.domain.ports.models import IModelRegistry
from loomwire.domain.ports.output import IOutputSchemas
from loomwire.domain.ports.pool import IConnectionPool
from loomwire.infrastructure.caching.stores import CacheStores
from loomwire.infrastructure.catalogue.detected import DetectedFacts
from loomwire.infrastructure.catalogue.registry import ModelRegistry
from loomwire.infrastructure.configuration.loader import ConfigLoader, rejected
from loomwire.infrastructure.configuration.source import FolderSource
from loomwire.infrastructure.local.server import LocalServers
from loomwire.infrastructure.memory.probe import ProcessProbe
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.providers.manager import ProviderManager
from loomwire.infrastructure.providers.table import option_checks
from loomwire.infrastructure.providers.vectors.factory import EmbeddingFactory
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.telemetry.sinks import LoggingSink
from loomwire.infrastructure.transport.deferred import DeferredPool
from loomwire.infrastructure.vectors.table import SimilarityIndexes

if TYPE_CHECKING:
    from loomwire.infrastructure.catalogue.detection.detector import CapabilityDetector
    from loomwire.infrastructure.health.prober import HealthProber


def _environ() -> Mapping[str, str]:
    # The live one: what a program sets while it runs is a part of the next reading.
    return os.environ


def _call_stats(clock: IClock) -> CallStats:
    return CallStats(clock.now)


def _output_schemas() -> IOutputSchemas:
    # pydantic's TypeAdapter is needed only once a typed client is asked for.
    from loomwire.infrastructure.outputs.pydantic_schemas import PydanticOutputSchemas

    return PydanticOutputSchemas()


def _catalogue_complaint(folder: Path) -> str | None:
    # Only a configuration with a catalogue of its own has it looked at.
    from loomwire.infrastructure.catalogue.bundle import complaint

    return complaint(folder)


def _config_loader(environ: Mapping[str, str], factory: ILLMClientFactory, manager: ProviderManager) -> ConfigLoader:
    # A host's own factory may build what ours cannot.
    check = factory.problems if isinstance(factory, ClientFactory) else None
    return ConfigLoader(manager.providers, manager.dialects, option_checks(), environ, check, _catalogue_complaint)


def _client_factory(
    pool: IConnectionPool, clock: IClock, servers: LocalServers, models: IModelRegistry, manager: ProviderManager
) -> ILLMClientFactory:
    return ClientFactory(pool, clock, manager.providers, servers, manager.dialects, models)


def _config_source(loader: ConfigLoader, root: str | Path) -> FolderSource:
    return FolderSource(loader, Path(root))


def _snapshot(source: IConfigSource, root: str | Path) -> Snapshot:
    reading = source.read(None)
    if reading.snapshot is None:
        raise rejected(Path(root), reading.problems)
    return reading.snapshot


def _embedding_factory(
    pool: IConnectionPool, clock: IClock, servers: LocalServers, manager: ProviderManager
) -> IEmbeddingFactory:
    return EmbeddingFactory(pool, clock, manager.providers, servers)


def _parts(
    factory: ILLMClientFactory,
    clock: IClock,
    stats: CallStats,
    states: TargetStates,
    sink: IEventSink,
    embedding: IEmbeddingFactory,
    caches: CacheStates,
) -> Parts:
    made = Parts(factory, clock, stats, states, (sink,), embedding, caches)

    def embedder(config: ClientConfig) -> IEmbedder:
        """Return what embeds questions, of the very parts that chat."""
        from loomwire.application.embedding.chains import build_embedder

        return build_embedder(config, made)

    caches.embedder = embedder
    return made


def _model_detector(
    pool: IConnectionPool,
    clock: IClock,
    factory: ILLMClientFactory,
    models: IModelRegistry,
    manager: ProviderManager,
) -> CapabilityDetector:
    # It reads and writes as the network's clients do, which nobody needs who asks no provider.
    from loomwire.infrastructure.catalogue.detection.detector import CapabilityDetector

    return CapabilityDetector(pool, clock, factory, detected_of(models), manager.providers, manager.dialects)


def _health_prober(
    pool: IConnectionPool, clock: IClock, factory: ILLMClientFactory, manager: ProviderManager
) -> HealthProber:
    # As the detector: it speaks as the network's clients do.
    from loomwire.infrastructure.health.prober import HealthProber

    return HealthProber(pool, clock, factory, manager.providers, manager.dialects)


def detected_of(models: IModelRegistry) -> DetectedFacts:
    """Return where answers of providers go; nowhere that matters when the host's own registry is in place."""
    return models.detected if isinstance(models, ModelRegistry) else DetectedFacts()


def _registry(snapshot: Snapshot, parts: Parts, models: IModelRegistry) -> ClientRegistry:
    if isinstance(models, ModelRegistry):
        models.remember(snapshot.detection)
    return ClientRegistry(build_generation(1, snapshot, parts))


class Wiring(containers.DeclarativeContainer):
    """How the parts fit together. Override a provider to replace a part; `check_wiring()` says whether it fits."""

    config_root = providers.Dependency(instance_of=object)
    environ = providers.Singleton(_environ)
    clock = providers.Singleton(SystemClock)
    event_sink = providers.Singleton(LoggingSink)
    call_stats = providers.Singleton(_call_stats, clock=clock)
    target_states = providers.Singleton(TargetStates, clock=clock)
    output_schemas = providers.Singleton(_output_schemas)
    connection_pool = providers.Singleton(DeferredPool, clock=clock)
    local_servers = providers.Singleton(LocalServers)
    model_registry = providers.Singleton(ModelRegistry)
    provider_manager = providers.Singleton(ProviderManager)
    client_factory = providers.Singleton(
        _client_factory,
        pool=connection_pool,
        clock=clock,
        servers=local_servers,
        models=model_registry,
        manager=provider_manager,
    )
    config_loader = providers.Singleton(
        _config_loader, environ=environ, factory=client_factory, manager=provider_manager
    )
    config_source = providers.Singleton(_config_source, loader=config_loader, root=config_root)
    snapshot = providers.Singleton(_snapshot, source=config_source, root=config_root)
    embedding_factory = providers.Singleton(
        _embedding_factory, pool=connection_pool, clock=clock, servers=local_servers, manager=provider_manager
    )
    cache_stores = providers.Singleton(CacheStores)
    similarity_indexes = providers.Singleton(SimilarityIndexes)
    cache_states = providers.Singleton(CacheStates, stores=cache_stores, indexes=similarity_indexes)
    parts = providers.Singleton(
        _parts,
        factory=client_factory,
        clock=clock,
        stats=call_stats,
        states=target_states,
        sink=event_sink,
        embedding=embedding_factory,
        caches=cache_states,
    )
    memory_probe = providers.Singleton(ProcessProbe)
    memory_manager = providers.Singleton(memory_manager, parts=parts, probe=memory_probe, snapshot=snapshot)
    registry = providers.Singleton(_registry, snapshot=snapshot, parts=parts, models=model_registry)
    model_detector = providers.Singleton(
        _model_detector,
        pool=connection_pool,
        clock=clock,
        factory=client_factory,
        models=model_registry,
        manager=provider_manager,
    )
    health_prober = providers.Singleton(
        _health_prober, pool=connection_pool, clock=clock, factory=client_factory, manager=provider_manager
    )
