"""CacheSweeper: drops what is over, now and then."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import threading
import weakref
from collections.abc import Sequence
from typing import Final, TypeAlias, final

from loomwire.domain.ports.caching.cache import ICacheStores, ICacheStrategy

_LOGGER: Final = logging.getLogger("loomwire.cache")
_SWEEP_S: Final = 60.0
_Bell: TypeAlias = "queue.SimpleQueue[None]"


@final
class CacheSweeper:
    """Calls `sweep` of every level every so many seconds, on a daemon thread with an event loop of its own.

    No event loop of a host is touched. The thread holds the levels only while it sweeps, and ends when nobody has them
    any more. A forked child gets a thread of its own. Safe for several threads.

    Args:
        stores: Whose levels; held weakly.
    """

    def __init__(self, stores: ICacheStores) -> None:
        """Sweep nothing yet."""
        self._stores = weakref.ref(stores)
        self._every_s = 0.0
        self._lock = threading.Lock()
        self._stopped: _Bell = queue.SimpleQueue()
        _sweepers.add(self)

    def after_fork(self) -> None:
        """Begin anew in a child, whose parent keeps the thread."""
        every_s, self._every_s = self._every_s, 0.0
        self._lock = threading.Lock()
        self.every(every_s)

    def every(self, seconds: float) -> None:
        """Sweep every so many seconds from now on; 0 or less stops. Returns at once, and does nothing when it is so."""
        with self._lock:
            if seconds == self._every_s:
                return
            self._stopped.put(None)
            self._every_s = seconds
            stores = self._stores()
            if seconds <= 0 or stores is None:
                return
            self._stopped = queue.SimpleQueue()
            # The collector may call it anywhere, so it may take no lock.
            weakref.finalize(stores, self._stopped.put, None).atexit = False
            thread = threading.Thread(
                target=_serve, args=(self._stores, self._stopped, seconds), name="loomwire-cache-sweep", daemon=True
            )
            thread.start()

    def stop(self) -> None:
        """Sweep no more. Returns at once; a sweep under way ends by itself. Idempotent."""
        self.every(0.0)


def _serve(held: weakref.ref[ICacheStores], stopped: _Bell, every_s: float) -> None:
    failing: set[int] = set()
    while not _rung(stopped, every_s):
        stores = held()
        if stores is None:
            return
        asyncio.run(_sweep(stores.levels(), failing))
        del stores


def _rung(stopped: _Bell, every_s: float) -> bool:
    try:
        stopped.get(timeout=every_s)
    except queue.Empty:
        return False
    return True


async def _sweep(levels: Sequence[ICacheStrategy], failing: set[int]) -> None:
    for level in levels:
        try:
            async with asyncio.timeout(_SWEEP_S):
                await level.sweep()
        except Exception as error:  # noqa: BLE001  # one that breaks its promise must not keep others from being swept
            if id(level) not in failing:
                failing.add(id(level))
                _LOGGER.warning("cache level %s cannot be swept (%s)", type(level).__name__, type(error).__name__)
        else:
            if id(level) in failing:
                failing.remove(id(level))
                _LOGGER.warning("cache level %s can be swept again", type(level).__name__)


_sweepers: weakref.WeakSet[CacheSweeper] = weakref.WeakSet()


def _after_fork() -> None:
    for sweeper in tuple(_sweepers):
        sweeper.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_after_fork)
