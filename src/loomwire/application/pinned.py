"""One generation for a whole run: whoever asks here never sees a reload."""

from __future__ import annotations

from typing_extensions import override

from loomwire.application.generation import Generation, unknown_name
from loomwire.application.leases import Lease
from loomwire.application.registry import ClientHandle, ClientRegistry, ClientSource, Reduced, not_pickled
from loomwire.domain.errors import ClientRemovedError


class PinnedRegistry(ClientSource):
    """Hands out clients of one generation until it is released. Safe for threads and event loops.

    Args:
        registry: The container's; once it is closed this one refuses calls too.
        generation: The generation, leased from now on.
    """

    __slots__ = ("_generation", "_registry", "_released")

    def __init__(self, registry: ClientRegistry, generation: Generation) -> None:
        """Take the lease."""
        self._registry = registry
        self._generation = generation
        self._released = False
        generation.lease()

    @property
    @override
    def generation(self) -> Generation:
        return self._generation

    @property
    @override
    def closed(self) -> bool:
        return self._released or self._registry.closed

    def pinned(self) -> PinnedRegistry:
        """Return a further hold on the same generation.

        Raises:
            ClientRemovedError: reason closed, when this one was given up, so that the generation may be gone, or the
                container is closed.
        """
        if self.closed:
            message = "a run was begun inside one that had ended or whose container was closed"
            raise ClientRemovedError(message, reason="closed")
        return PinnedRegistry(self._registry, self._generation)

    def release(self) -> None:
        """Give the generation up; new calls are refused, those in flight end on it. Idempotent."""
        if not self._released:
            self._released = True
            self._generation.release()

    @override
    def client(self, name: str) -> ClientHandle:
        if self.closed:
            message = f"client {name!r} was resolved after its pinned run ended or its container was closed"
            raise ClientRemovedError(message, reason="closed")
        if name not in self._generation.entries:
            raise unknown_name("client", name, self._generation.entries)
        return ClientHandle(self, name)

    @override
    def lease(self, name: str) -> Lease:
        if self.closed:
            message = f"client {name!r} was asked after its pinned run ended or its container was closed"
            raise ClientRemovedError(message, reason="closed")
        return Lease(self._generation, self._generation.entries[name], self._registry.calls)

    @override
    def reduced(self, name: str, *, blocking: bool = False) -> Reduced:
        raise not_pickled()
