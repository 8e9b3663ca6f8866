"""Names to clients: stable handles over generations that are swapped whole."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import NoReturn

from typing_extensions import override

from loomwire.application.generation import Generation
from loomwire.application.leases import Lease, LeasedStreaming
from loomwire.domain.errors import ClientRemovedError, UnknownNameError
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse


class ClientRegistry:
    """Holds the generation in force and hands out handles by name. Safe for threads and event loops."""

    __slots__ = ("_closed", "_generation", "_handles")

    def __init__(self, generation: Generation) -> None:
        """Put a first generation in force."""
        self._generation = generation
        self._handles: dict[str, ClientHandle] = {}
        self._closed = False

    @property
    def generation(self) -> Generation:
        """The generation in force."""
        return self._generation

    @property
    def closed(self) -> bool:
        """Whether new calls are refused."""
        return self._closed

    def swap(self, generation: Generation) -> Generation:
        """Put a generation in force and return the one before; calls in flight finish on theirs."""
        before, self._generation = self._generation, generation  # one store: nobody sees half of it
        return before

    def close(self) -> None:
        """Refuse new calls."""
        self._closed = True

    def client(self, name: str) -> ClientHandle:
        """Return the stable handle of a client.

        Raises:
            UnknownNameError: No such client; the message lists those that exist.
        """
        handle = self._handles.get(name)
        if handle is None or name not in self._generation.entries:
            if name not in self._generation.entries:
                raise unknown_name("client", name, self._generation.entries)
            handle = self._handles.setdefault(name, ClientHandle(self, name))
        return handle

    def lease(self, name: str) -> Lease:
        """Lease a client of the generation in force for one call.

        Raises:
            ClientRemovedError: The client is no longer configured, or the container is closed.
        """
        generation = self._generation
        if self._closed:
            raise ClientRemovedError(f"client {name!r} was asked after its container was closed", reason="closed")
        entry = generation.entries.get(name)
        if entry is None:
            raise ClientRemovedError(f"client {name!r} was removed from the configuration")
        return Lease(generation, entry)


class ClientHandle(ILLMClient):
    """What hosts hold: a name that always means the client in force. Cheap, shareable, never stale."""

    __slots__ = ("_registry", "name")

    def __init__(self, registry: ClientRegistry, name: str) -> None:
        """Stand for the client `name`."""
        self._registry = registry
        self.name = name

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        lease = self._registry.lease(self.name)
        with lease:
            return await lease.entry.client.generate(request)

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        return LeasedStreaming(self.lease, request)

    def lease(self) -> Lease:
        """Lease the client in force for one call of several requests, such as a typed call and its re-ask."""
        return self._registry.lease(self.name)

    @override
    def __reduce__(self) -> NoReturn:
        raise TypeError("a client is not pickled: send its name, and resolve it in the other process's own container")

    @override
    def __repr__(self) -> str:
        entry = self._registry.generation.entries.get(self.name)
        return f"{self.name}: {entry.client!r}" if entry else f"{self.name}: removed"


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Return the error for a name that nobody defined, with what exists and what was probably meant; not raised."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    listed = ", ".join(names) if names else "none"
    return UnknownNameError(f"there is no {kind} named {name!r}", hint=f"{guess}Configured {kind}s: {listed}.")
