"""Calls in flight of one container: who may still begin, and how one that goes on for too long is ended."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TypeAlias

from loomwire.application.forks import renew_after_fork
from loomwire.domain.errors import ClientRemovedError

Working: TypeAlias = "asyncio.Task[object]"


class Calls:
    """All calls of one container, those on replaced generations and in pinned runs included.

    Safe for threads and event loops. A call that was forgotten, such as a stream that nobody leaves, is not counted any
    more once it is collected.

    Attributes:
        closed: New calls are refused.
    """

    __slots__ = ("__weakref__", "_listeners", "_lock", "_open", "closed")

    def __init__(self) -> None:
        """Admit every call."""
        self.closed = False
        self._open: set[weakref.ref[Call]] = set()
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Begin with no calls: those of the parent, and who waits for them, are not here."""
        self._lock = threading.Lock()
        self._open.clear()
        self._listeners: list[Callable[[], None]] = []

    @property
    def in_flight(self) -> int:
        """How many calls go on."""
        return len(self._open)

    @property
    def unwinding(self) -> bool:
        """Whether one of them is about to leave once it is ended; a stream that nobody reads just then is not."""
        return any(call.unwinding for call in self._living())

    def admit(self, call: Call) -> weakref.ref[Call]:
        """Count a call in.

        Raises:
            ClientRemovedError: reason closed.
        """
        # What the collector calls takes no lock: it may run in the middle of anything.
        kept = weakref.ref(call, self._open.discard)
        with self._lock:
            if not self.closed:
                self._open.add(kept)
                return kept
        raise call.refusal("was asked after its container was closed")

    def leave(self, kept: weakref.ref[Call]) -> None:
        """Count a call off; after closing, those who wait for that are told."""
        with self._lock:
            self._open.discard(kept)
        if self.closed:
            self.tell()

    def close(self) -> None:
        """Refuse new calls. Idempotent."""
        with self._lock:
            self.closed = True

    def end(self) -> None:
        """End every call that goes on: it raises `ClientRemovedError` where it waits, or at its next read."""
        for call in self._living():
            call.end()

    def tell(self) -> None:
        """Wake those who listen."""
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()

    @contextmanager
    def heard(self, listener: Callable[[], None]) -> Generator[None]:
        """Have `listener` called, from any thread, when a call leaves after closing and when somebody says `tell`."""
        with self._lock:
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(listener)

    def _living(self) -> list[Call]:
        with self._lock:
            kept = tuple(self._open)
        return [call for call in (each() for each in kept) if call is not None]


class Call:
    """One call of a client. Closing ends what it awaits, and only that: never code of the caller.

    It works as `asyncio.timeout` does: the task that works for the call is cancelled, and where the cancellation leaves
    the call it becomes a `ClientRemovedError`. A cancellation by the caller goes on as it is, also when both come.

    Args:
        calls: Where it is counted.
        name: The client's name.
    """

    __slots__ = ("__weakref__", "_before", "_calls", "_cuts", "_ended", "_kept", "_task", "_was_cut", "name")

    def __init__(self, calls: Calls, name: str) -> None:
        """Begin nothing yet."""
        self.name = name
        self._calls = calls
        self._kept: weakref.ref[Call] | None = None
        self._task: Working | None = None
        self._before = 0
        self._cuts = 0
        self._ended = False
        self._was_cut = False

    @property
    def unwinding(self) -> bool:
        """Whether a task works for it now, or did when it was ended."""
        return self._task is not None or self._was_cut

    def begin(self) -> None:
        """Count it in, and arm it.

        Raises:
            ClientRemovedError: reason closed.
        """
        self._kept = self._calls.admit(self)
        self.arm(_running_task())

    def leave(self) -> None:
        """Count it off. Idempotent."""
        kept, self._kept = self._kept, None
        if kept is not None:
            self._calls.leave(kept)

    def arm(self, task: Working | None) -> None:
        """From now on the running task works for it.

        Args:
            task: The running task; None outside of event loops, where nothing is awaited.

        Raises:
            ClientRemovedError: reason closed, when it was ended meanwhile.
        """
        if task is not None:
            self._before = task.cancelling()
        self._task = task
        # Looked at last: whoever ends it sets this first, and then looks who works for it.
        if self._ended:
            self._task = None
            raise self.refusal("was ended because its container was closed")

    def disarm(self, error: BaseException | None) -> ClientRemovedError | None:
        """The task works for it no more.

        Args:
            error: What leaves the call, or None.

        Returns:
            What is to be raised instead, outside of the handler; None when everything goes on as it is.
        """
        task, self._task = self._task, None
        if not self._cuts or task is None:
            return None
        cuts, self._cuts = self._cuts, 0
        for _ in range(cuts):
            task.uncancel()
        if task.cancelling() > self._before or not isinstance(error, asyncio.CancelledError):
            return None
        return self.refusal("was ended because its container was closed")

    def end(self) -> None:
        """End it, from any thread: soon where it waits, else when it is armed next. Once more is no harm."""
        self._ended = True
        task = self._task
        if task is not None:
            with suppress(RuntimeError):  # its loop closed first
                task.get_loop().call_soon_threadsafe(self._cut, task)

    def refusal(self, what: str) -> ClientRemovedError:
        """Return the error that says what became of it; not raised."""
        return ClientRemovedError(f"client {self.name!r} {what}", reason="closed")

    def _cut(self, task: Working) -> None:
        if self._task is task:
            self._was_cut = True
            self._cuts += 1
            task.cancel()


def _running_task() -> Working | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
