"""Who is told of reloads: functions and coroutine functions, each on its own, in order, and never in the way."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Generic, TypeAlias, TypeVar

from loomwire.application.reload.results import Diff
from loomwire.domain.config import Snapshot
from loomwire.domain.errors import LLMValidationError
from loomwire.domain.faults import Problem

UpdatedListener: TypeAlias = Callable[[Snapshot, Snapshot, Diff], Awaitable[None] | None]
"""Takes the configuration before, the one in force now, and what differs."""

RejectedListener: TypeAlias = Callable[[Snapshot, tuple[Problem, ...]], Awaitable[None] | None]
"""Takes the configuration that stays in force, and why the new one did not come into force."""

Remove: TypeAlias = Callable[[], None]

_L = TypeVar("_L")
_LOGGER = logging.getLogger("loomwire.reload")


class Told(Generic[_L]):
    """A listener, and where it wants to be called.

    Args:
        listener: The function.
        loop: The loop that runs it when it is a coroutine function; None calls it on the reloading thread.
    """

    __slots__ = ("listener", "loop")

    def __init__(self, listener: _L, loop: asyncio.AbstractEventLoop | None) -> None:
        """Keep both."""
        self.listener = listener
        self.loop = loop


class Listeners(Generic[_L]):
    """The listeners of one kind. Safe for threads."""

    def __init__(self) -> None:
        """Know nobody."""
        self._told: tuple[Told[_L], ...] = ()

    def add(self, listener: _L) -> Remove:
        """Add a listener and return a function that removes it; twice added is twice called.

        Raises:
            LLMValidationError: A coroutine function outside of a running event loop: nobody would run it.
        """
        told = Told(listener, _loop_of(listener))
        self._told = (*self._told, told)

        def remove() -> None:
            self._told = tuple(each for each in self._told if each is not told)

        return remove

    def tell(self, call: Callable[[_L], Awaitable[None] | None]) -> None:
        """Call every listener by `call`; what one raises is logged by its type, and the next is called."""
        for told in self._told:
            if told.loop is None:
                _guarded(told.listener, call)
            else:
                _scheduled(told.loop, told.listener, call)


class Turns:
    """Runs what is handed in one after the other, in order, whichever threads hand it in.

    A thread that finds another at work leaves its own to that one, so nobody ever waits, and what is handed in from
    within comes after.
    """

    def __init__(self) -> None:
        """Begin with nothing to do."""
        self._waiting: deque[Callable[[], None]] = deque()
        self._working = threading.Lock()

    def put(self, work: Callable[[], None]) -> None:
        """Hand something in; call `run` once no lock is held."""
        self._waiting.append(work)

    def run(self) -> None:
        """Do what waits, unless somebody does already."""
        while self._waiting:
            if not self._working.acquire(blocking=False):
                return
            try:
                while self._waiting:
                    self._waiting.popleft()()
            finally:
                self._working.release()

    def after_fork(self) -> None:
        """Take a new lock in a child: another thread may have held the old one."""
        self._working = threading.Lock()


_tasks: set[asyncio.Task[None]] = set()


def _loop_of(listener: object) -> asyncio.AbstractEventLoop | None:
    called = listener if inspect.isroutine(listener) else getattr(listener, "__call__", None)  # noqa: B004
    if not (inspect.iscoroutinefunction(listener) or inspect.iscoroutinefunction(called)):
        return None
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise LLMValidationError(
            "an async listener is registered inside the event loop that shall run it", hint="Or give a plain function."
        ) from None


def _guarded(listener: _L, call: Callable[[_L], Awaitable[None] | None]) -> None:
    try:
        left = call(listener)
    except Exception as error:  # noqa: BLE001  # a listener's failure is not the configuration's
        _failed(error)
        return
    if isinstance(left, Coroutine):
        left.close()
        _LOGGER.error("a listener of reloads returned a coroutine that nobody runs: write it as `async def`")


def _scheduled(loop: asyncio.AbstractEventLoop, listener: _L, call: Callable[[_L], Awaitable[None] | None]) -> None:
    def begin() -> None:
        task = loop.create_task(_awaited(listener, call))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    try:
        loop.call_soon_threadsafe(begin)
    except RuntimeError:
        return  # its loop is closed, so it is nobody's any more


async def _awaited(listener: _L, call: Callable[[_L], Awaitable[None] | None]) -> None:
    try:
        left = call(listener)
        if left is not None:
            await left
    except Exception as error:  # noqa: BLE001  # a listener's failure is not the configuration's
        _failed(error)


def _failed(error: Exception) -> None:
    # By type only: its text may hold what it was told, and that is a configuration.
    _LOGGER.error("a listener of reloads failed: %s", type(error).__name__)
