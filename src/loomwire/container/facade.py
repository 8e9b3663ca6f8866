"""LLMContainer: the typed door to everything. The only class a host has to know."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

from dependency_injector import containers, providers
from typing_extensions import override

from loomwire.application.clients.typed import TypedLLMClient
from loomwire.application.composed import ComposedFactory, snapshot_of
from loomwire.application.loop_thread import LoopThread
from loomwire.application.pipeline import Parts, client_key, target_key
from loomwire.application.registry import ClientHandle, ClientRegistry, unknown_name
from loomwire.application.state.stats import CallStats
from loomwire.application.sync import SyncLLMClient
from loomwire.container.checks import check
from loomwire.container.graph import WiringGraph
from loomwire.container.health import ContainerHealth
from loomwire.container.wiring import Wiring
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.errors import LLMValidationError, UnknownNameError
from loomwire.domain.ports.client import ILLMClient, ILLMClientFactory
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.container import IDependencyContainer
from loomwire.domain.ports.events import IEventSink
from loomwire.domain.ports.output import IOutputSchemas
from loomwire.domain.ports.pool import IConnectionPool

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")
StrPath: TypeAlias = str | os.PathLike[str]

NEEDS: Mapping[str, type] = {
    "call_stats": CallStats,
    "client_factory": ILLMClientFactory,
    "clock": IClock,
    "connection_pool": IConnectionPool,
    "event_sink": IEventSink,
    "output_schemas": IOutputSchemas,
    "parts": Parts,
    "registry": ClientRegistry,
}
"""What the facade itself takes from a wiring; nothing else in there says what these have to be."""


class LLMContainer(IDependencyContainer):
    """Builds everything from a configuration folder and hands out clients by name.

    Safe to share by threads and event loops. Use it as a context manager, or call `close()` / `aclose()`.

    Example:
        >>> from loomwire import ILLMClient, LLMContainer, LLMRequest
        >>> async def main() -> str:
        ...     async with LLMContainer.aopen("config") as container:
        ...         planner = container.resolve(ILLMClient, "planner")
        ...         return (await planner.generate(LLMRequest.of("Plan a trip"))).text
    """

    def __init__(self, wiring: containers.Container) -> None:
        """Use `open` or `aopen`; this takes a wiring whose parts are supplied, for hosts that embed `Wiring`.

        Raises:
            WiringError: Parts are missing, of the wrong type, or need each other.
            ConfigRejectedError: The configuration has problems.
        """
        check(wiring, NEEDS)
        self.wiring = wiring
        self._threads = LoopThread()
        self._pool_closed = False
        self._registry: ClientRegistry = wiring.registry()
        self._ports: dict[object, Callable[[], Any]] = {
            IClock: wiring.clock,
            IConnectionPool: wiring.connection_pool,
            IEventSink: wiring.event_sink,
            # Not the leaf factory: what a host builds by hand keeps its deadline like everything else.
            ILLMClientFactory: lambda: ComposedFactory(wiring.parts()),
            IOutputSchemas: wiring.output_schemas,
        }

    @classmethod
    def open(
        cls,
        config: StrPath,
        *,
        watch: bool = True,  # noqa: ARG003  # kept for callers; see Args
        overrides: Mapping[str, object] | None = None,
    ) -> Self:
        """Open a container from synchronous code.

        Args:
            config: The configuration folder, or one YAML file.
            watch: Follow edits of the configuration. This release loads it once, whatever you say here; the
                argument is there so that code written today keeps its meaning.
            overrides: Parts to replace, by the names in `Wiring`: an object, or a dependency-injector provider.

        Raises:
            LLMValidationError: Called inside a running event loop, which it would block; use `aopen`.
            ConfigRejectedError: The configuration has problems; all are listed.
            WiringError: An override is unknown or does not fit.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return cls._opened(config, overrides or {})
        raise LLMValidationError(
            "LLMContainer.open() inside a running event loop would block it: use `async with LLMContainer.aopen(...)`",
            reason="sync_in_loop",
        )

    @classmethod
    @asynccontextmanager
    async def aopen(
        cls,
        config: StrPath,
        *,
        watch: bool = True,  # noqa: ARG003  # as in open
        overrides: Mapping[str, object] | None = None,
    ) -> AsyncGenerator[Self, None]:
        """Open a container from async code: `async with LLMContainer.aopen("config/") as container`.

        It is built on a thread, so the event loop never waits for files or imports. Arguments and errors: `open`.
        """
        container = await asyncio.to_thread(cls._opened, config, overrides or {})
        try:
            yield container
        finally:
            await container.aclose()

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
        return cls._opened(".", {"snapshot": snapshot_of(clients), **(overrides or {})})

    @classmethod
    def _opened(cls, config: StrPath, overrides: Mapping[str, object]) -> Self:
        wiring = Wiring(config_root=providers.Object(Path(config)))
        for name in overrides.keys() & wiring.providers.keys():
            part = overrides[name]
            wiring.providers[name].override(part if isinstance(part, providers.Provider) else providers.Object(part))
        check(wiring, NEEDS, misnamed=sorted(overrides.keys() - wiring.providers.keys()))
        return cls(wiring)

    @override
    def resolve(self, port: Callable[..., T], name: str | None = None) -> T:
        """Return the part behind a port: a client by name, or the clock, pool, event sink, factory or schemas.

        What comes back for `ILLMClient` is a stable handle: it always means the client in force. `SyncLLMClient` gives
        its blocking twin. Without a name it is the only client there is.

        Raises:
            UnknownNameError: No such client or port; the message lists what exists.
        """
        part: Any
        if port is ILLMClient:
            part = self.llm_client(self._only_client() if name is None else name)
        elif port is SyncLLMClient:
            part = self.sync_client(self._only_client() if name is None else name)
        elif port in self._ports and name is None:
            part = self._ports[port]()
        elif port in self._ports:
            raise UnknownNameError(
                f"there is one {getattr(port, '__name__', port)}, without a name", hint="Leave the name out."
            )
        else:
            known = [getattr(known, "__name__", str(known)) for known in (ILLMClient, SyncLLMClient, *self._ports)]
            raise unknown_name("port", getattr(port, "__name__", str(port)), known)
        found: T = part
        return found

    get_service = resolve

    def llm_client(self, name: str) -> ILLMClient:
        """Return the stable handle of a client; `resolve(ILLMClient, name)` in short."""
        return self._handle(name)

    def sync_client(self, name: str) -> SyncLLMClient:
        """Return the blocking twin of a client, for code outside event loops."""
        return SyncLLMClient(self._handle(name), self._threads)

    def typed(self, output: TypeForm[T], name: str) -> TypedLLMClient[T]:
        """Return a client whose answer is a validated `output`.

        Args:
            output: A pydantic model, dataclass, TypedDict, list, union, scalar...
            name: The client's name.

        Raises:
            UnknownNameError: No such client.
            LLMValidationError: The type has no JSON Schema.
        """
        handle = self._handle(name)
        schemas: IOutputSchemas = self.wiring.output_schemas()
        return TypedLLMClient(handle, schemas.schema_for(output), self.wiring.clock())

    def client_config(self, name: str) -> ClientConfig:
        """Return the configuration a client in force was built from, its provider's defaults filled in.

        Raises:
            UnknownNameError: No such client.
        """
        self._handle(name)
        return self._registry.generation.entries[name].config

    def names(self) -> tuple[str, ...]:
        """Return the names of all clients in force, sorted."""
        return tuple(sorted(self._registry.generation.entries))

    def health(self) -> ContainerHealth:
        """Return generation, totals and connections as of now. Cheap, safe from any thread."""
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
            in_flight=generation.leases,
            warnings=generation.snapshot.warnings,
            closed=self._registry.closed,
        )

    def check_wiring(self) -> None:
        """Check the container again, for instance after a provider was overridden by hand.

        Raises:
            WiringError: Every problem, each with the path that leads to it.
        """
        check(self.wiring, NEEDS)

    def mermaid(self) -> str:
        """Return the graph of the parts as a Mermaid flow chart."""
        return WiringGraph(self.wiring).mermaid()

    def close(self) -> None:
        """Close from synchronous code: refuse new calls, close connections, end the loop thread. Idempotent.

        Everything is tried; errors come together in one ExceptionGroup. Connections of event loops that still run
        close with their loop.
        """
        _run_all(self._closers())

    async def aclose(self) -> None:
        """Close from async code: as `close`, and the running loop's connections are closed here. Idempotent."""
        self._registry.close()
        errors: list[Exception] = []
        try:
            await self._close_pool()
        except Exception as error:  # noqa: BLE001  # everything runs; what failed is reported together
            errors.append(error)
        finally:
            # Also when this task is cancelled meanwhile: the loop thread would outlive the container.
            await asyncio.to_thread(_run_all, self._closers(), errors)

    def _closers(self) -> Iterator[Callable[[], None]]:
        # Last built, first closed: calls are refused, then the loop thread takes its connections with it.
        yield self._registry.close
        yield lambda: self._threads.close(self._close_pool)
        yield self._close_pool_without_loop
        # Last, because a server that still has calls would not stop.
        yield lambda: self.wiring.local_servers().close()

    def _close_pool_without_loop(self) -> None:
        """Close a pool that neither a loop of the host's nor our own has closed: it may have more than connections."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            if not self._pool_closed:
                asyncio.run(self._close_pool())

    async def _close_pool(self) -> None:
        self._pool_closed = True
        await self.wiring.connection_pool().aclose()

    def _handle(self, name: str) -> ClientHandle:
        return self._registry.client(name)

    def _only_client(self) -> str:
        names = self.names()
        if len(names) != 1:
            hint = f"Use one of: {', '.join(names)}." if names else "Add one under `clients` in the configuration."
            raise UnknownNameError(f"resolve() without a name: there are {len(names)} clients", hint=hint)
        return names[0]

    async def __aenter__(self) -> Self:
        """Use the container until the end of the block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.aclose()

    def __enter__(self) -> Self:
        """Use the container until the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


def _run_all(closers: Iterator[Callable[[], None]], errors: list[Exception] | None = None) -> None:
    failed = list(errors or ())
    for closer in closers:
        try:
            closer()
        except Exception as error:  # noqa: BLE001  # everything runs; what failed is reported together
            failed.append(error)
    if failed:
        raise ExceptionGroup("closing the container failed", failed)
