"""LLMContainer: the typed door to everything. The only class a host has to know."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from contextvars import copy_context
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias, TypeVar

from dependency_injector import containers, providers

from loomwire.application.composed import snapshot_of
from loomwire.application.loop_thread import LoopThread, refuse_in_loop
from loomwire.application.memory.manager import MemoryManager
from loomwire.application.pinned import PinnedRegistry
from loomwire.application.pipeline import Parts
from loomwire.application.registry import ClientRegistry
from loomwire.application.reload.drains import Drains
from loomwire.application.reload.listeners import RejectedListener, Remove, UpdatedListener
from loomwire.application.reload.manager import LLMConfigManager
from loomwire.application.reload.store import ConfigStore
from loomwire.application.state.stats import CallStats
from loomwire.container.detecting import Detecting
from loomwire.container.health import HealthDoor, Looking
from loomwire.container.inspection.checks import check
from loomwire.container.inspection.graph import WiringGraph
from loomwire.container.keeping.care import CacheCare
from loomwire.container.keeping.door import CachingDoor
from loomwire.container.lifetime import Closing, Home, ending_with, watcher_of
from loomwire.container.memory import MemoryDoor, keep_bounded
from loomwire.container.operating.door import OperatingDoor
from loomwire.container.operating.point import ControlPoint
from loomwire.container.pinning import Pinning
from loomwire.container.resolving import Resolver
from loomwire.container.wiring import Wiring
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.ports.client import ILLMClientFactory
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.config import IConfigSource
from loomwire.domain.ports.events import IEventSink
from loomwire.domain.ports.output import IOutputSchemas
from loomwire.domain.ports.pool import IConnectionPool
from loomwire.infrastructure.configuration.files import absolute
from loomwire.infrastructure.providers.manager import ProviderManager

if TYPE_CHECKING:
    from loomwire.application.reload.results import ReloadResult
    from loomwire.container.parents import Parent
    from loomwire.infrastructure.catalogue.detection.detector import Detection

StrPath: TypeAlias = str | os.PathLike[str]
_C = TypeVar("_C", bound="LLMContainer")

NEEDS: Mapping[str, type] = {
    "call_stats": CallStats,
    "client_factory": ILLMClientFactory,
    "clock": IClock,
    "config_source": IConfigSource,
    "connection_pool": IConnectionPool,
    "event_sink": IEventSink,
    "output_schemas": IOutputSchemas,
    "parts": Parts,
    "provider_manager": ProviderManager,
    "registry": ClientRegistry,
}
"""What the facade itself takes from a wiring; nothing else in there says what these have to be."""


class LLMContainer(Resolver, HealthDoor, OperatingDoor, CachingDoor, MemoryDoor):
    """Builds everything from a configuration folder and hands out clients by name.

    Safe to share by threads and event loops. Use it as a context manager, or call `close()` / `aclose()`. One that is
    dropped without closing goes on, edits included, for the clients, pinned runs and calls it gave; with the last of
    them its threads end and a `ResourceWarning` says so. Connections on event loops of the host's close with these.

    Args:
        wiring: A wiring whose parts are supplied, of a host that embeds `Wiring`; anybody else uses `open` or `aopen`.
        watch: Follow edits of the configuration.

    Attributes:
        wiring: The parts.
        configs: The configuration in force, its history, and who is told of changes.

    Raises:
        WiringError: Parts are missing, of the wrong type, or need each other.
        ConfigRejectedError: The configuration has problems.

    Example:
        >>> from loomwire import ILLMClient, LLMContainer, LLMRequest
        >>> async def main() -> str:
        ...     async with LLMContainer.aopen("config") as container:
        ...         planner = container.resolve(ILLMClient, "planner")
        ...         return (await planner.generate(LLMRequest.of("Plan a trip"))).text
    """

    def __init__(self, wiring: containers.Container, *, watch: bool = False) -> None:
        """Build everything; connect to nothing."""
        check(wiring, NEEDS)
        self._registry: ClientRegistry = wiring.registry()
        registry = self._registry
        super().__init__(wiring, registry, LoopThread())
        # A configuration written in code has no files to look at.
        source = wiring.config_source() if wiring.snapshot.last_overriding is None else None
        self._drains = Drains(wiring.connection_pool(), wiring.clock(), lambda: registry.generation)
        self._store = ConfigStore(self._registry, source, wiring.parts(), self._drains)
        self.configs = LLMConfigManager(self._registry, self._store)
        self._watcher = watcher_of(source, self._store) if watch else None
        place = "code" if source is None else str(getattr(source, "root", type(source).__name__))
        ending = ending_with(registry, self._store, place, self._watcher, self._threads)
        self._closing = Closing(wiring, registry, ending, self._watcher, self._threads)
        if self._watcher is not None:
            self._watcher.start()
        self._detecting = Detecting(wiring, self._registry, self._store, self._threads)
        self._detecting.start()
        self._looking = Looking(wiring, self._registry, self._threads)
        self._ports = {**self._ports, **self._looking.ports}
        control = ControlPoint(self, self._threads)
        self._closing.first(control.close)
        care = CacheCare(wiring.cache_states())
        memory: MemoryManager = wiring.memory_manager()
        keep_bounded(memory, self.configs)
        self._closing.first(memory.close)
        self._closing.first(care.close)
        if watch:
            self._looking.start()
            care.start(self.configs)
        if watch and self.operable:
            control.start(self.configs)

    @classmethod
    def open(
        cls,
        config: StrPath,
        *,
        watch: bool = True,
        parent: Parent | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> Self:
        """Open a container from synchronous code.

        Args:
            config: The configuration folder, or one YAML file.
            watch: Follow edits of the configuration: what is saved is in force some 25 ms later, what is wrong changes
                nothing. `reload()` reads it when you say so.
            parent: The host's own container: its clock, connection pool, event sink and output schemas, as far as it
                has them, stand in for ours. They stay the host's, so closing this container leaves its pool open.
            overrides: Parts to replace, by the names in `Wiring`: an object, or a dependency-injector provider. They
                win over the parent's.

        Raises:
            LLMValidationError: Called inside a running event loop, which it would block; use `aopen`.
            ConfigRejectedError: The configuration has problems; all are listed.
            WiringError: An override is unknown, or it or a part of the parent does not fit; or a `config_source` of the
                host's own is to be watched, which nobody can: pass watch=False.
        """
        refuse_in_loop("LLMContainer.open()", "`async with LLMContainer.aopen(...)`")
        return cls._opened(config, overrides or {}, watch=watch, parent=parent)

    @classmethod
    @asynccontextmanager
    async def aopen(
        cls,
        config: StrPath,
        *,
        watch: bool = True,
        parent: Parent | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> AsyncGenerator[Self, None]:
        """Open a container from async code: `async with LLMContainer.aopen("config/") as container`.

        It is built on a thread, so the event loop never waits for files or imports; a parent is asked there too.
        Arguments and errors: `open`.
        """
        opening = asyncio.get_running_loop().run_in_executor(
            None, copy_context().run, lambda: cls._opened(config, overrides or {}, watch=watch, parent=parent)
        )
        try:
            container = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_let_go)
            raise
        async with container:
            yield container

    @classmethod
    def of(
        cls, clients: Mapping[str, LLMConfig | ClientConfig], *, overrides: Mapping[str, object] | None = None
    ) -> Self:
        """Build a container from code, without YAML; opens no connection and, but for local models, no file.

        The first networked client imports the network's libraries, which takes about 0.2 s: inside a running event
        loop call it as `await asyncio.to_thread(LLMContainer.of, clients)`.

        Args:
            clients: Clients by name: a model, or a `ClientConfig` with a system message and a total time.
            overrides: As in `open`.

        Raises:
            ConfigError: A client cannot be built; see `ILLMClientFactory.create`.

        Example:
            >>> from loomwire import LLMConfig, LLMContainer, LLMRequest
            >>> rules = {"rules": [{"when": "hi", "answer": "Hello."}]}
            >>> with LLMContainer.of({"greeter": LLMConfig(type="rule", model="any", options=rules)}) as container:
            ...     container.sync_client("greeter").generate(LLMRequest.of("hi")).text
            'Hello.'
        """
        return cls._opened(".", {"snapshot": snapshot_of(clients), **(overrides or {})}, watch=False)

    @classmethod
    def _opened(
        cls, config: StrPath, overrides: Mapping[str, object], *, watch: bool, parent: Parent | None = None
    ) -> Self:
        wiring = Wiring(config_root=providers.Object(Path(config)))
        if parent is not None:
            from loomwire.container.parents import parts_of

            overrides = {**parts_of(parent, besides=overrides.keys()), **overrides}
        for name in overrides.keys() & wiring.providers.keys():
            part = overrides[name]
            wiring.providers[name].override(part if isinstance(part, providers.Provider) else providers.Object(part))
        misnamed = sorted(overrides.keys() - wiring.providers.keys())
        if misnamed:
            check(wiring, NEEDS, misnamed=misnamed)
        container = cls(wiring, watch=watch)
        if not overrides:
            # With parts of this process another one would find a client that is not the same.
            container._registry.home = Home(absolute(config))
        return container

    @property
    def closed(self) -> bool:
        """Whether new calls are refused."""
        return self._registry.closed

    def reload(self, *, allow_shrink: bool = False) -> ReloadResult:
        """Read the configuration now and put what is new in force; what is wrong changes nothing and raises nothing.

        Needs no watching. It blocks on files: in an event loop use `areload`. Safe for threads.

        Args:
            allow_shrink: Accept that most of four or more clients go, or the files' `end: true`.

        Raises:
            LLMValidationError: Called inside a running event loop.
        """
        refuse_in_loop("LLMContainer.reload()", "`await container.areload()`")
        return self._store.reload(allow_shrink=allow_shrink)

    async def areload(self, *, allow_shrink: bool = False) -> ReloadResult:
        """Reload on a thread; else as `reload`. Cancellation does not stop a reload that has begun."""
        return await asyncio.to_thread(self._store.reload, allow_shrink=allow_shrink)

    async def detect(self, provider: str | None = None) -> tuple[Detection, ...]:
        """Ask the providers of all models, or one provider, what their models can do; answers hold at once.

        Providers that fail say so in their `Detection`. What the configuration says itself stays stronger.

        Raises:
            UnknownNameError: No model is of that provider.
        """
        return await self._detecting.detect(provider)

    def pinned(self) -> Pinning:
        """Return a context manager over one generation for a whole run, for `with` and `async with`.

        What is resolved from the `PinnedContainer` it gives stays on the configuration in force at the beginning of
        the block, across awaits, threads and reloads. Clients resolved elsewhere go on following edits.

        Example:
            >>> from loomwire import LLMContainer, LLMRequest
            >>> with LLMContainer.open("config") as container, container.pinned() as run:
            ...     run.sync_client("planner").generate(LLMRequest.of("Hello")).finish
            'stop'

        Raises:
            ClientRemovedError: reason closed, also on entering the block.
        """
        self._refuse_closed()
        return Pinning(self.wiring, self._pinned, self._threads)

    def _pinned(self) -> PinnedRegistry:
        self._refuse_closed()
        return PinnedRegistry(self._registry, self._registry.generation)

    def on_config_updated(self, listener: UpdatedListener) -> Remove:
        """Call `listener(old, new, diff)` after every swap; see `LLMConfigManager.on_config_updated`."""
        return self.configs.on_config_updated(listener)

    def on_config_rejected(self, listener: RejectedListener) -> Remove:
        """Call `listener(kept, problems)` once per bad edit; see `LLMConfigManager.on_config_rejected`."""
        return self.configs.on_config_rejected(listener)

    def check_wiring(self) -> None:
        """Check the container again, for instance after a provider was overridden by hand.

        Raises:
            WiringError: Every problem, each with the path that leads to it.
        """
        check(self.wiring, NEEDS)

    def mermaid(self) -> str:
        """Return the graph of the parts as a Mermaid flow chart."""
        return WiringGraph(self.wiring).mermaid()

    def close(self, *, drain: float | None = None) -> None:
        """Close from synchronous code: refuse new calls, let those in flight end, close connections, end our threads.

        Idempotent, from any thread; a second one, while the first still waits, may hurry it with `drain=0`. Calls that
        are not waited for any longer raise `ClientRemovedError` (reason closed) to whoever made them. Inside a running
        event loop it waits for nobody, because that would stop the loop: there, `await container.aclose()`. Everything
        is tried; errors come together in one ExceptionGroup. Connections of loops that still run close with their loop.

        Args:
            drain: For how many seconds calls in flight may go on; None for `shutdown.drain` of the configuration, or
                for what the first one said. `KeyboardInterrupt` meanwhile is as 0, and then goes on.

        Raises:
            LLMValidationError: `drain` is negative.
        """
        self._closing.close(drain)

    async def aclose(self, *, drain: float | None = None) -> None:
        """Close from async code: as `close`, and the running loop's connections are closed here. Idempotent.

        Cancellation is as `drain=0`: the calls are ended, everything is closed, and then it goes on.
        """
        await self._closing.aclose(drain)

    async def __aenter__(self) -> Self:
        """Use the container until the end of the block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it. After an error calls may go on for a second, after a cancellation or an interrupt not at all."""
        await self.aclose(drain=self._closing.drain_after(kind))

    def __enter__(self) -> Self:
        """Use the container until the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it. After an error calls may go on for a second, after a cancellation or an interrupt not at all."""
        self.close(drain=self._closing.drain_after(kind))


def _let_go(opening: asyncio.Future[_C]) -> None:
    """Close what was opened for somebody who had left meanwhile: it would go on watching."""
    if not opening.cancelled() and opening.exception() is None:
        threading.Thread(target=opening.result().close, name="loomwire-close").start()
