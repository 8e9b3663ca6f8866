"""One owned event loop on one thread, for callers that have none."""

from __future__ import annotations

import asyncio
import threading
import weakref
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Protocol, TypeVar

from loomwire.application.forks import renew_after_fork
from loomwire.domain.errors import ClientRemovedError, LLMValidationError

T = TypeVar("T")


class Leavable(Protocol):
    """What is open on a loop."""

    @abstractmethod
    async def leave(self) -> None:
        """Leave it; called on the loop."""


class LoopThread:
    """One event loop on one daemon thread, started by the first call and again after a fork.

    Safe for several threads: each call waits for its own result.

    Attributes:
        open: What is to be left before the loop ends; changed on the loop only.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._inherited: list[asyncio.AbstractEventLoop] = []
        self._closed = False
        self.open: weakref.WeakSet[Leavable] = weakref.WeakSet()
        renew_after_fork(self)

    def run(self, work: Coroutine[object, object, T], instead: str) -> T:
        """Run a coroutine on the loop and wait for it. An interrupt cancels it.

        Args:
            work: What to run.
            instead: The async method to name when the caller is inside a running loop.

        Raises:
            LLMValidationError: The caller runs inside an event loop, which this would block.
            ClientRemovedError: reason closed, when the loop was closed before or meanwhile.
        """
        if inside_a_loop():
            work.close()
            raise LLMValidationError(
                f"a blocking call inside a running event loop would stop it: {instead}", reason="sync_in_loop"
            )
        future: Future[T] | None = None
        try:
            future = self._submit(work)
            return future.result()
        except CancelledError:
            if not self._closed:
                raise
            raise _closed() from None
        except BaseException:
            if future is not None:
                future.cancel()
            raise

    def begin(self, work: Coroutine[object, object, T]) -> Future[T]:
        """Start a coroutine on the loop and do not wait for it; closing cancels it.

        Args:
            work: What to run.

        Raises:
            ClientRemovedError: reason closed, when the loop was closed before.
        """
        return self._submit(work)

    def _submit(self, work: Coroutine[object, object, T]) -> Future[T]:
        # Under the lock, so that closing finds every task: one that slips in behind it would never end.
        with self._lock:
            if self._closed:
                work.close()
                raise _closed()
            return asyncio.run_coroutine_threadsafe(work, self._loop or self._start())

    def _start(self) -> asyncio.AbstractEventLoop:
        self._loop = loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, args=(loop, self.open), name="loomwire", daemon=True)
        self._thread.start()
        return loop

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop, left_open: Iterable[Leavable]) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            # Nothing is left after `close`; `end_soon` leaves it all to this thread.
            loop.run_until_complete(_farewell(left_open, _nothing))
        finally:
            loop.close()

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
            asyncio.run_coroutine_threadsafe(_farewell(self.open, last), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def end_soon(self) -> bool:
        """End as `close` does, but without a lock and without waiting, when nobody is left who could call.

        For finalizers: they run on any thread, on the loop's own too, in the middle of anything.

        Returns:
            Whether there was a loop.
        """
        self._closed = True
        loop, self._loop, self._thread = self._loop, None, None
        if loop is not None:
            with suppress(RuntimeError):  # it is closed already
                loop.call_soon_threadsafe(loop.stop)
        return loop is not None

    def after_fork(self) -> None:
        """Start anew in a forked child: the thread is not there, and its loop still belongs to the parent."""
        self._lock = threading.Lock()
        if self._loop is not None:
            # Kept and never closed: closing it would take the parent's selector apart.
            self._inherited.append(self._loop)
        self._loop = self._thread = None
        self.open = weakref.WeakSet()


def refuse_in_loop(what: str, instead: str) -> None:
    """Refuse what would stop a running event loop.

    Args:
        what: What was called.
        instead: What to write there.

    Raises:
        LLMValidationError: reason sync_in_loop, inside a running event loop.
    """
    if inside_a_loop():
        raise LLMValidationError(
            f"{what} inside a running event loop would block it: use {instead}", reason="sync_in_loop"
        )


def _closed() -> ClientRemovedError:
    return ClientRemovedError("the container was closed before or during this call", reason="closed")


async def _farewell(left_open: Iterable[Leavable], last: Callable[[], Coroutine[object, object, None]]) -> None:
    current = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not current]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.gather(*(each.leave() for each in tuple(left_open)), return_exceptions=True)
    try:
        await last()
    finally:
        await asyncio.get_running_loop().shutdown_asyncgens()


async def _nothing() -> None:
    """Say nothing at the end: connections close with their loop."""


def inside_a_loop() -> bool:
    """Return whether this thread runs an event loop now."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
