"""What a container and a pinned view of it have in common: handing out clients and parts by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from typing_extensions import override

from loomwire.application.composed import ComposedFactory
from loomwire.application.generation import unknown_name
from loomwire.application.handles.vectors import ComposedEmbeddings
from loomwire.application.loop_thread import LoopThread
from loomwire.application.registry import ClientHandle, ClientSource
from loomwire.application.sync import SyncLLMClient
from loomwire.container.agents import AgentResolver
from loomwire.container.embedding import PartResolver
from loomwire.domain.config import ClientConfig
from loomwire.domain.errors import ClientRemovedError, UnknownNameError
from loomwire.domain.ports.client import ILLMClient, ILLMClientFactory
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.container import IDependencyContainer
from loomwire.domain.ports.embedding import IEmbeddingFactory
from loomwire.domain.ports.events import IEventSink
from loomwire.domain.ports.output import IOutputSchemas
from loomwire.domain.ports.pool import IConnectionPool
from loomwire.domain.values import listed
from loomwire.infrastructure.providers.manager import ProviderManager

if TYPE_CHECKING:
    from dependency_injector import containers
    from typing_extensions import TypeForm

    from loomwire.application.clients.typed import TypedLLMClient

T = TypeVar("T")


class Resolver(PartResolver, AgentResolver, IDependencyContainer):
    """Hands out clients of a source by name, and the parts of a wiring. Safe for threads and event loops.

    Args:
        wiring: The parts.
        clients: Where clients are found.
        threads: The loop of blocking clients.

    Attributes:
        wiring: The parts.
    """

    def __init__(self, wiring: containers.Container, clients: ClientSource, threads: LoopThread) -> None:
        """Build nothing."""
        self.wiring = wiring
        self._clients = clients
        self._threads = threads
        self._ports: Mapping[object, Callable[[], Any]] = {
            IClock: wiring.clock,
            IConnectionPool: wiring.connection_pool,
            IEventSink: wiring.event_sink,
            # Not the leaf factory: what a host builds by hand keeps its deadline like everything else.
            ILLMClientFactory: lambda: ComposedFactory(wiring.parts()),
            IOutputSchemas: wiring.output_schemas,
            ProviderManager: wiring.provider_manager,
            IEmbeddingFactory: lambda: ComposedEmbeddings(wiring.parts()),
        }
        self._named: Mapping[object, Callable[[str], Any]] = {
            ILLMClient: self.llm_client,
            SyncLLMClient: self.sync_client,
            **self._part_ports(),
        }

    @override
    def resolve(self, port: Callable[..., T], name: str | None = None) -> T:
        """Return the part behind a port: a client by name, or a part that there is one of.

        What comes back for `ILLMClient` is a stable handle: it always means the client in force. `SyncLLMClient` gives
        its blocking twin, `IEmbedder`, `IReranker` and `ITokenCounter` its vectors, ranks and counts. Without a name it
        is the only client.
        The parts are the clock, pool, event sink, factories, schemas and the provider manager.

        Raises:
            UnknownNameError: No such client or port; the message lists what exists.
            CapabilityError: The client's provider type does not embed, rerank or count.
            ClientRemovedError: reason closed. Its shorter forms below raise it too.
        """
        part: Any
        if port in self._named:
            part = self._named[port](self._only_client() if name is None else name)
        elif port in self._ports and name is None:
            self._refuse_closed()
            part = self._ports[port]()
        elif port in self._ports:
            raise UnknownNameError(
                f"there is one {getattr(port, '__name__', port)}, without a name", hint="Leave the name out."
            )
        else:
            known = [getattr(known, "__name__", str(known)) for known in (*self._named, *self._ports)]
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
        # Like the schemas, imported once a typed client is asked for.
        from loomwire.application.clients.typed import TypedLLMClient

        handle = self._handle(name)
        schemas: IOutputSchemas = self.wiring.output_schemas()
        return TypedLLMClient(handle, schemas.schema_for(output), self.wiring.clock())

    def client_config(self, name: str) -> ClientConfig:
        """Return the configuration a client in force was built from, its provider's defaults filled in.

        Raises:
            UnknownNameError: No such client.
        """
        return self._clients.generation.entry(name).config

    def names(self) -> tuple[str, ...]:
        """Return the names of all clients in force, sorted."""
        return tuple(sorted(self._clients.generation.entries))

    @override
    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a container is neither copied nor pickled: send its folder, and call `process_container(root)` there"
        )

    @override
    def _handle(self, name: str) -> ClientHandle:
        return self._clients.client(name)

    def _refuse_closed(self) -> None:
        if self._clients.closed:
            raise ClientRemovedError("the container, or the pinned run, is closed", reason="closed")

    def _only_client(self) -> str:
        self._refuse_closed()
        names = self.names()
        if len(names) != 1:
            hint = f"Use one of: {listed(names)}." if names else "Add one under `clients` in the configuration."
            raise UnknownNameError(f"resolve() without a name: there are {len(names)} clients", hint=hint)
        return names[0]
