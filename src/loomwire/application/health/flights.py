"""One look at a time per provider, whoever asks on whatever thread and event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from loomwire.application.forks import renew_after_fork

K = TypeVar("K")
T = TypeVar("T")


class Flights(Generic[K, T]):
    """Lets the first caller do the work, and gives everybody who comes meanwhile what it found.

    Safe for threads and event loops. When the first one is cancelled, one of the others does the work.
    """

    def __init__(self) -> None:
        """Know of none."""
        self._under_way: dict[K, Future[T]] = {}
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Forget in a child what the parent does."""
        self._lock = threading.Lock()
        self._under_way.clear()

    async def joined(self, key: K, work: Callable[[], Awaitable[T]]) -> T:
        """Return what `work` gives, or what it gives to somebody who began earlier.

        Args:
            key: What may be done once at a time.
            work: Does it; what it raises goes to its own caller, and the others try anew.
        """
        while True:
            flight, is_first = self._flight(key)
            if is_first:
                return await self._led(key, flight, work)
            # Not the future itself, which the cancellation of one who waits would end for all.
            await asyncio.wait([asyncio.wrap_future(flight)])
            if not flight.cancelled():
                return flight.result()

    def _flight(self, key: K) -> tuple[Future[T], bool]:
        with self._lock:
            known = self._under_way.get(key)
            flight = self._under_way[key] = known or Future()
            return flight, known is None

    async def _led(self, key: K, flight: Future[T], work: Callable[[], Awaitable[T]]) -> T:
        try:
            found = await work()
        except BaseException:
            self._landed(key)
            flight.cancel()
            raise
        self._landed(key)
        flight.set_result(found)
        return found

    def _landed(self, key: K) -> None:
        with self._lock:
            self._under_way.pop(key, None)
