"""A hold of one call on the generation it began with, so that a reload never pulls its client away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType

from typing_extensions import override

from loomwire.application.generation import Entry, Generation
from loomwire.application.lifecycle.calls import Call, Calls
from loomwire.application.streaming import Streaming, WrappedStream
from loomwire.application.typed.source import TypedTarget
from loomwire.domain.errors import ClientRemovedError
from loomwire.domain.events import StreamEvent
from loomwire.domain.ports.client import LLMStream
from loomwire.domain.requests import LLMRequest


class Lease(Call):
    """One call's hold on a generation; use it as a context manager around what the call awaits.

    Raises `ClientRemovedError` (reason closed) when the container is closed: on entering, or, when closing does not
    wait for the call any longer, instead of the cancellation that ends it.
    """

    __slots__ = ("_generation", "entry")

    def __init__(self, generation: Generation, entry: Entry, calls: Calls) -> None:
        """Hold `generation` from entering to leaving."""
        super().__init__(calls, entry.config.name)
        self._generation = generation
        self.entry = entry

    def __enter__(self) -> TypedTarget:
        self.begin()
        self._generation.lease()
        entry = self.entry
        return TypedTarget(entry.client, entry.config.total_s, entry.capabilities, entry.total_attempts)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended = self.disarm(error)
        self.leave()
        self._generation.release()
        if ended is not None:
            _raise_alone(ended)


def _raise_alone(error: ClientRemovedError) -> None:
    try:
        raise error
    except ClientRemovedError:
        # The cancellation would carry the frames that held the key and the prompt.
        error.__context__ = None
        raise


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
        except BaseException as error:
            lease.__exit__(type(error), error, error.__traceback__)
            raise
        lease.disarm(None)
        self._lease = lease
        return _LeasedStream(stream, lease)

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, trace)
        finally:
            lease, self._lease = self._lease, None
            if lease is not None:
                lease.__exit__(kind, error, trace)


class _LeasedStream(WrappedStream):
    """A stream whose reads are ended when closing does not wait for it any longer; between them nothing is."""

    __slots__ = ("_lease",)

    def __init__(self, inner: LLMStream, lease: Lease) -> None:
        super().__init__(inner)
        self._lease = lease

    @override
    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        return _Reading(self.inner.__aiter__(), self._lease)


class _Reading(AsyncIterator[StreamEvent]):
    """Arms the lease for every read, by whichever task it comes."""

    __slots__ = ("_lease", "_loop", "_next")

    def __init__(self, events: AsyncIterator[StreamEvent], lease: Lease) -> None:
        self._next = events.__anext__
        self._lease = lease
        self._loop: asyncio.AbstractEventLoop | None = None

    @override
    async def __anext__(self) -> StreamEvent:
        lease, loop = self._lease, self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        # To look for the loop each time would double what a read costs here.
        lease.arm(asyncio.current_task(loop))
        try:
            event = await self._next()
        except BaseException as error:
            ended = lease.disarm(error)
            if ended is None:
                raise
        else:
            lease.disarm(None)
            return event
        raise ended
