"""A hold of one call on the generation it began with, so that a reload never pulls its client away."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from typing_extensions import override

from loomwire.application.generation import Entry, Generation
from loomwire.application.streaming import Streaming
from loomwire.application.typed.source import TypedTarget
from loomwire.domain.ports.client import LLMStream
from loomwire.domain.requests import LLMRequest


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


class LeasedStreaming(Streaming):
    """A stream of the client in force; the lease is held from entering to leaving."""

    __slots__ = ("_lease", "_request", "_take")

    def __init__(self, take: Callable[[], Lease], request: LLMRequest) -> None:
        """Call `take` for the lease on entering."""
        super().__init__()
        self._take = take
        self._request = request
        self._lease: Lease | None = None

    @override
    async def opened(self) -> LLMStream:
        lease = self._take()
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
