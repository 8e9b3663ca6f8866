"""Names to clients: stable handles over generations that are swapped whole."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from types import MappingProxyType, TracebackType

from typing_extensions import override

from loomwire.application.clients.typed import TypedTarget
from loomwire.application.pipeline import Parts, build_client
from loomwire.application.streaming import Streaming
from loomwire.domain.config import ClientConfig, Snapshot
from loomwire.domain.errors import ClientRemovedError, UnknownNameError
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse


@dataclass(frozen=True, slots=True)
class Entry:
    """One client of a generation: its chain and the configuration it was built from."""

    client: ILLMClient
    config: ClientConfig


class Generation:
    """All clients of one configuration. Calls lease it, so that it lives until the last of them ends.

    Args:
        number: Counts up from 1.
        snapshot: The configuration it was built from.
        entries: The clients by name.
    """

    __slots__ = ("_leases", "_lock", "entries", "number", "snapshot")

    def __init__(self, number: int, snapshot: Snapshot, entries: Mapping[str, Entry]) -> None:
        """Start without leases."""
        self.number = number
        self.snapshot = snapshot
        self.entries = MappingProxyType(dict(entries))
        self._leases = 0
        self._lock = threading.Lock()

    def lease(self) -> None:
        """Count a call that uses this generation."""
        with self._lock:
            self._leases += 1

    def release(self) -> None:
        """Count a call off."""
        with self._lock:
            self._leases -= 1

    @property
    def leases(self) -> int:
        """How many calls use this generation now."""
        return self._leases


def build_generation(number: int, snapshot: Snapshot, parts: Parts) -> Generation:
    """Build every client of a configuration. Nothing is in force yet, nothing is connected.

    Raises:
        ConfigError: A client cannot be built; nothing has changed.
    """
    entries = {}
    for name, config in snapshot.clients.items():
        # Once and before anything is built: every layer and every typed call sees what the provider's row knows.
        known = replace(config, targets=tuple(parts.factory.resolved(target) for target in config.targets))
        entries[name] = Entry(build_client(known, parts), known)
    return Generation(number, snapshot, entries)


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


class Lease:
    """One call's hold on a generation; use it as a context manager."""

    __slots__ = ("_generation", "entry")

    def __init__(self, generation: Generation, entry: Entry) -> None:
        """Hold `generation` from entering to leaving."""
        self._generation = generation
        self.entry = entry

    def __enter__(self) -> TypedTarget:
        self._generation.lease()
        config = self.entry.config
        return TypedTarget(self.entry.client, config.total_s, config.targets[0].capabilities)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._generation.release()


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
        return _LeasedStreaming(self, request)

    def lease(self) -> Lease:
        """Lease the client in force for one call of several requests, such as a typed call and its re-ask."""
        return self._registry.lease(self.name)

    @override
    def __repr__(self) -> str:
        entry = self._registry.generation.entries.get(self.name)
        return f"{self.name}: {entry.client!r}" if entry else f"{self.name}: removed"


class _LeasedStreaming(Streaming):
    """Holds the lease from entering to leaving."""

    __slots__ = ("_handle", "_lease", "_request")

    def __init__(self, handle: ClientHandle, request: LLMRequest) -> None:
        super().__init__()
        self._handle = handle
        self._request = request
        self._lease: Lease | None = None

    @override
    async def opened(self) -> LLMStream:
        lease = self._handle.lease()
        lease.__enter__()
        try:
            stream = await self.enter(lease.entry.client.stream(self._request))
        except BaseException:
            lease.__exit__(None, None, None)
            raise
        self._lease = lease
        return stream

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, trace)
        finally:
            if self._lease is not None:
                self._lease.__exit__(kind, error, trace)
                self._lease = None


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Return the error for a name that nobody defined, with what exists and what was probably meant; not raised."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    listed = ", ".join(names) if names else "none"
    return UnknownNameError(f"there is no {kind} named {name!r}", hint=f"{guess}Configured {kind}s: {listed}.")
