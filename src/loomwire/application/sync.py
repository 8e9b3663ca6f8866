"""The blocking face for synchronous hosts: one owned event loop on one thread, no second implementation."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from types import TracebackType
from typing import TypeVar

from typing_extensions import override

from loomwire.domain.errors import ClientRemovedError, LLMValidationError
from loomwire.domain.events import StreamEvent
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse

T = TypeVar("T")


class LoopThread:
    """One event loop on one daemon thread, started by the first call and again after a fork.

    Safe for several threads: each call waits for its own result.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._inherited: list[asyncio.AbstractEventLoop] = []
        self._closed = False
        _THREADS.add(self)

    def run(self, work: Coroutine[object, object, T], instead: str) -> T:
        """Run a coroutine on the loop and wait for it. An interrupt cancels it.

        Args:
            work: What to run.
            instead: The async method to name when the caller is inside a running loop.

        Raises:
            LLMValidationError: The caller runs inside an event loop, which this would block.
            ClientRemovedError: reason closed, when the loop was closed before or meanwhile.
        """
        if _inside_a_loop():
            work.close()
            raise LLMValidationError(
                f"a blocking call inside a running event loop would stop it: {instead}", reason="sync_in_loop"
            )
        future = self._submit(work)
        try:
            return future.result()
        except CancelledError:
            if not self._closed:
                raise
            raise _closed() from None
        except BaseException:
            future.cancel()
            raise

    def _submit(self, work: Coroutine[object, object, T]) -> Future[T]:
        # Under the lock, so that closing finds every task: one that slips in behind it would never end.
        with self._lock:
            if self._closed:
                work.close()
                raise _closed()
            return asyncio.run_coroutine_threadsafe(work, self._loop or self._start())

    def _start(self) -> asyncio.AbstractEventLoop:
        self._loop = loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, args=(loop,), name="loomwire", daemon=True)
        self._thread.start()
        return loop

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()

    def close(self, last: Callable[[], Coroutine[object, object, None]]) -> None:
        """Cancel what still runs, run `last` on the loop, stop and close it. Idempotent; later calls are refused.

        Does not call `last` when nothing was ever run. Whatever `last` raises is raised after everything is closed.
        """
        with self._lock:
            self._closed = True
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(_farewell(last), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def abandon(self) -> None:
        """Start anew in a forked child: the thread is not there, and its loop still belongs to the parent."""
        self._lock = threading.Lock()
        if self._loop is not None:
            # Kept and never closed: closing it would take the parent's selector apart.
            self._inherited.append(self._loop)
        self._loop = self._thread = None


_THREADS: weakref.WeakSet[LoopThread] = weakref.WeakSet()


def _after_fork() -> None:
    for thread in tuple(_THREADS):
        thread.abandon()


if sys.platform != "win32":  # pragma: no branch
    os.register_at_fork(after_in_child=_after_fork)


def _closed() -> ClientRemovedError:
    return ClientRemovedError("the container was closed before or during this call", reason="closed")


async def _farewell(last: Callable[[], Coroutine[object, object, None]]) -> None:
    current = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not current]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    try:
        await last()
    finally:
        await asyncio.get_running_loop().shutdown_asyncgens()


def _inside_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


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
        # When the container is closed there is nothing left to leave: the stream's connection went with the loop.
        with suppress(ClientRemovedError):
            self._thread.run(self._exit(kind, error, trace), "use `async with client.stream(...)`")

    async def _enter(self) -> LLMStream:
        return await self._inner.__aenter__()

    async def _exit(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        """Return a context manager over the stream; entering it sends the request."""
        return _SyncStreaming(self._client.stream(request), self._thread)

    @override
    def __repr__(self) -> str:
        return f"Sync > {self._client!r}"
