"""One listener of reloads: how the telling of it goes, and what it may do without harm."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeAlias, final

Call: TypeAlias = Callable[[], Awaitable[None] | None]
"""Tells one listener of one event."""

_LOGGER = logging.getLogger("loomwire.reload")


@final
class Ear:
    """One listener, and how the telling of it goes. Everything but `gone` belongs to its `Teller`.

    Args:
        name: What the listener is called.
        loop: The loop that runs it when it is a coroutine function; None calls it on the telling thread.

    Attributes:
        gone: It wants to be told no more.
        since: When the call that goes on now began, or None.
        waiting: What it is told when that ends, while it is left to itself.
        dropped: How many events it never learns of.
        logged: Whether the log says that it is slow.
    """

    __slots__ = ("dropped", "gone", "logged", "loop", "name", "since", "waiting")

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop | None) -> None:
        """Begin with nothing to be told."""
        self.name = name
        self.loop = loop
        self.gone = False
        self.since: float | None = None
        self.waiting: deque[Call] = deque()
        self.dropped = 0
        self.logged = False

    def begin(self) -> None:
        """Note that a call begins."""
        self.since = time.monotonic()

    def ran(self) -> float:
        """Return for how many seconds the call has gone on; 0 when there is none."""
        since = self.since
        return 0.0 if since is None else time.monotonic() - since

    def call(self, call: Call) -> None:
        """Tell the listener; never raises, and waits only for a plain one."""
        if self.loop is not None:
            _scheduled(self.loop, call)
            return
        try:
            left = call()
        except BaseException as error:  # noqa: BLE001  # a listener's SystemExit must not end the telling
            _failed(error)
            return
        if isinstance(left, Coroutine):
            left.close()
            _LOGGER.error("a listener of reloads returned a coroutine that nobody runs: write it as `async def`")


_tasks: set[asyncio.Task[None]] = set()


def _scheduled(loop: asyncio.AbstractEventLoop, call: Call) -> None:
    def begin() -> None:
        """Begin the call as a task of the loop, which holds tasks weakly."""
        task = loop.create_task(_awaited(call))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    try:
        loop.call_soon_threadsafe(begin)
    except RuntimeError:
        return  # its loop is closed, so it is nobody's any more


async def _awaited(call: Call) -> None:
    try:
        left = call()
        if left is not None:
            await left
    except Exception as error:  # noqa: BLE001  # a listener's failure is not the configuration's
        _failed(error)


def _failed(error: BaseException) -> None:
    # By type only: its text may hold what it was told, and that is a configuration.
    _LOGGER.error("a listener of reloads failed: %s", type(error).__name__)
