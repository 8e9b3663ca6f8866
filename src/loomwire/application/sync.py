"""The blocking face for synchronous hosts: one owned event loop on one thread, no second implementation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from types import TracebackType

from typing_extensions import override

from loomwire.application.loop_thread import LoopThread
from loomwire.application.registry import ClientHandle, Reduced, not_pickled
from loomwire.domain.errors import ClientRemovedError
from loomwire.domain.events import StreamEvent
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse


class SyncStream:
    """A stream for synchronous code: iterate it inside its `with` block."""

    def __init__(self, stream: LLMStream, thread: LoopThread) -> None:
        """Read `stream` on the loop of `thread`."""
        self._stream = stream
        self._events = stream.__aiter__()
        self._thread = thread

    def __iter__(self) -> Iterator[StreamEvent]:
        """Deliver events as they come; raises like the async stream."""
        return self

    def __next__(self) -> StreamEvent:
        """Wait for the next event."""
        event = self._thread.run(self._next(), "iterate it with `async for`")
        if event is None:
            raise StopIteration
        return event

    async def _next(self) -> StreamEvent | None:
        # StopAsyncIteration cannot leave a coroutine that a Future carries, so None stands for the end.
        return await anext(self._events, None)

    @property
    def response(self) -> LLMResponse[str]:
        """The whole answer, once the last event was delivered."""
        return self._stream.response


class _SyncStreaming(AbstractContextManager[SyncStream]):
    """Enters and leaves the async stream on the loop thread."""

    def __init__(self, inner: AbstractAsyncContextManager[LLMStream], thread: LoopThread) -> None:
        self._inner = inner
        self._thread = thread

    @override
    def __enter__(self) -> SyncStream:
        return SyncStream(self._thread.run(self._enter(), "use `async with client.stream(...)`"), self._thread)

    @override
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # When the container is closed there is nothing left to leave: its loop left the stream before it ended.
        with suppress(ClientRemovedError):
            self._thread.run(self._exit(kind, error, trace), "use `async with client.stream(...)`")

    async def leave(self) -> None:
        """Leave the stream in place of whoever reads it."""
        await self._inner.__aexit__(None, None, None)

    async def _enter(self) -> LLMStream:
        stream = await self._inner.__aenter__()
        self._thread.open.add(self)
        return stream

    async def _exit(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.open.discard(self)
        await self._inner.__aexit__(kind, error, trace)


class SyncLLMClient:
    """The blocking twin of a client handle. Safe to share by threads; never call it inside a running event loop.

    Args:
        client: The async client.
        thread: The container's loop thread.

    Example:
        >>> from loomwire import LLMContainer, LLMRequest
        >>> with LLMContainer.open("config") as container:
        ...     container.sync_client("planner").generate(LLMRequest.of("Hello")).finish
        'stop'
    """

    def __init__(self, client: ILLMClient, thread: LoopThread) -> None:
        """Wrap `client`."""
        self._client = client
        self._thread = thread

    def generate(self, request: LLMRequest) -> LLMResponse[str]:
        """Return the whole answer; raises what the async client raises.

        Raises:
            LLMValidationError: reason sync_in_loop, inside a running event loop.
        """
        return self._thread.run(self._client.generate(request), "use `await client.generate(...)`")

    def stream(self, request: LLMRequest) -> AbstractContextManager[SyncStream]:
        """Return a context manager over the stream; entering it sends the request, leaving it early ends the answer.

        It breaks and, where the request says `resume="restart"`, begins anew as the async stream does.
        """
        return _SyncStreaming(self._client.stream(request), self._thread)

    @override
    def __reduce__(self) -> Reduced:
        if not isinstance(self._client, ClientHandle):
            raise not_pickled()
        return self._client.reduced(blocking=True)

    @override
    def __repr__(self) -> str:
        return f"Sync > {self._client!r}"
