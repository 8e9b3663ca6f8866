"""Names to clients: stable handles over generations that are swapped whole."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

from typing_extensions import override

from loomwire.application.generation import Generation, unknown_name
from loomwire.application.leases import Lease, LeasedStreaming
from loomwire.application.lifecycle.calls import Calls
from loomwire.domain.errors import ClientRemovedError
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.requests import LLMRequest, refuse_no_request
from loomwire.domain.responses import LLMResponse

Reduced: TypeAlias = tuple[Callable[[str, str], object], tuple[str, str]]
"""How another process finds a client again: a function of a configuration's root and the client's name, and both."""

Home: TypeAlias = Callable[[str, bool], Reduced]
"""Takes a client's name, and whether its blocking twin is meant."""


class ClientSource(Protocol):
    """Where handles find their clients: whatever is in force, or one generation."""

    @property
    @abstractmethod
    def generation(self) -> Generation:
        """The generation that new calls go to."""

    @property
    @abstractmethod
    def closed(self) -> bool:
        """Whether new calls are refused."""

    @abstractmethod
    def client(self, name: str) -> ClientHandle:
        """Return the handle of a client; raises UnknownNameError, and ClientRemovedError when closed."""

    @abstractmethod
    def lease(self, name: str) -> Lease:
        """Lease a client for one call; raises ClientRemovedError."""

    @abstractmethod
    def reduced(self, name: str, *, blocking: bool = False) -> Reduced:
        """Return how a client is found again in another process; raises TypeError where it cannot be."""


class ClientRegistry(ClientSource):
    """Holds the generation in force and hands out handles by name. Safe for threads and event loops.

    Attributes:
        calls: The calls of all its generations.
        home: Tells other processes where to find a client; None for clients that exist in this process only.
        keeper: What keeps it up to date, held here so that handles follow edits after the container was dropped.
    """

    __slots__ = ("_generation", "_handles", "calls", "home", "keeper")

    def __init__(self, generation: Generation) -> None:
        """Put a first generation in force."""
        self._generation = generation
        self._handles: dict[str, ClientHandle] = {}
        self.calls = Calls()
        self.home: Home | None = None
        self.keeper: object = None

    @property
    @override
    def generation(self) -> Generation:
        """The generation in force."""
        return self._generation

    @property
    @override
    def closed(self) -> bool:
        """Whether new calls are refused."""
        return self.calls.closed

    def swap(self, generation: Generation) -> Generation:
        """Put a generation in force and return the one before; calls in flight finish on theirs."""
        before, self._generation = self._generation, generation  # one store: nobody sees half of it
        return before

    def close(self) -> None:
        """Refuse new calls."""
        self.calls.close()
        self.keeper = None  # it leads back here: without it a closed container is freed at once

    @override
    def client(self, name: str) -> ClientHandle:
        """Return the stable handle of a client.

        Raises:
            UnknownNameError: No such client; the message lists those that exist.
            ClientRemovedError: reason closed. The handle would refuse every call, far from the line that is wrong.
        """
        if self.closed:
            raise ClientRemovedError(f"client {name!r} was resolved after its container was closed", reason="closed")
        handle = self._handles.get(name)
        if handle is None or name not in self._generation.entries:
            if name not in self._generation.entries:
                raise unknown_name("client", name, self._generation.entries)
            handle = self._handles.setdefault(name, ClientHandle(self, name))
        return handle

    @override
    def lease(self, name: str) -> Lease:
        """Lease a client of the generation in force for one call.

        Raises:
            ClientRemovedError: The client is no longer configured, or the container is closed.
        """
        generation = self._generation
        if self.calls.closed:
            raise ClientRemovedError(f"client {name!r} was asked after its container was closed", reason="closed")
        entry = generation.entries.get(name)
        if entry is None:
            raise ClientRemovedError(f"client {name!r} was removed from the configuration")
        return Lease(generation, entry, self.calls)

    @override
    def reduced(self, name: str, *, blocking: bool = False) -> Reduced:
        if self.home is None:
            raise not_pickled()
        return self.home(name, blocking)


class ClientHandle(ILLMClient):
    """What hosts hold: a name that always means the client in force. Cheap, shareable, never stale."""

    __slots__ = ("_registry", "name")

    def __init__(self, registry: ClientSource, name: str) -> None:
        """Stand for the client `name`."""
        self._registry = registry
        self.name = name

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        refuse_no_request(request, "generate")
        lease = self._registry.lease(self.name)
        with lease:
            return await lease.entry.client.generate(request)

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        refuse_no_request(request, "stream")
        return LeasedStreaming(self.lease, request)

    def lease(self) -> Lease:
        """Lease the client in force for one call of several requests, such as a typed call and its re-ask."""
        return self._registry.lease(self.name)

    @override
    def __reduce__(self) -> Reduced:
        return self.reduced()

    def reduced(self, *, blocking: bool = False) -> Reduced:
        """Return how this client, or its blocking twin, is found again in another process.

        Raises:
            TypeError: It exists in this process only.
        """
        return self._registry.reduced(self.name, blocking=blocking)

    @override
    def __repr__(self) -> str:
        entry = self._registry.generation.entries.get(self.name)
        return f"{self.name}: {entry.client!r}" if entry else f"{self.name}: removed"


def not_pickled() -> TypeError:
    """Return the error for a client that no other process could find; not raised."""
    return TypeError("a client is not pickled: send its name, and resolve it in the other process's own container")
