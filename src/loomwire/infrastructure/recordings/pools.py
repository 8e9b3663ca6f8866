"""The pools that replay folders of recordings, one for all clients of a folder as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from typing_extensions import override

from loomwire.domain.policies import TransportPolicy
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.pool import ConnectionLease, IConnectionPool, PoolStats
from loomwire.domain.requests import Bound

if TYPE_CHECKING:
    from loomwire.infrastructure.recordings.replay import ReplayPool


class Replays:
    """Opens a folder once, so that equal requests of two clients take turns in its answers.

    Args:
        clock: For recorded waits.
    """

    __slots__ = ("_clock", "_pools")

    def __init__(self, clock: IClock) -> None:
        """Read nothing yet."""
        self._clock = clock
        self._pools: WeakValueDictionary[tuple[str, str], ReplayPool] = WeakValueDictionary()

    def deferred(self, folder: str, recorded: str) -> IConnectionPool:
        """Return the pool of a folder, which is read on a thread when it is first asked; for who is built on a loop."""
        return _DeferredReplay(partial(self.pool, folder, recorded))

    def pool(self, folder: str, recorded: str) -> IConnectionPool:
        """Return the pool of a folder whose content is `recorded`; reads it unless it is known. Blocks.

        Raises:
            ConfigError: The folder cannot be read.
        """
        from loomwire.infrastructure.recordings.book import Book
        from loomwire.infrastructure.recordings.folder import read_folder
        from loomwire.infrastructure.recordings.replay import ReplayPool

        known = self._pools.get((folder, recorded))
        if known is None:
            path = Path(folder)
            known = self._pools[folder, recorded] = ReplayPool(Book(path, read_folder(path), repeat=True), self._clock)
        return known


class _DeferredReplay(IConnectionPool):
    """A pool that is opened by the first request."""

    __slots__ = ("_open", "_pool")

    def __init__(self, open_: Callable[[], IConnectionPool]) -> None:
        self._open = open_
        self._pool: IConnectionPool | None = None

    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = TransportPolicy(), bound: Bound | None = None
    ) -> ConnectionLease:
        if self._pool is None:
            self._pool = await asyncio.to_thread(self._open)
        return await self._pool.acquire(base_url, policy, bound)

    @override
    def release(self, lease: ConnectionLease) -> None:
        if self._pool is not None:
            self._pool.release(lease)

    @override
    def get_stats(self) -> PoolStats:
        return PoolStats() if self._pool is None else self._pool.get_stats()

    @override
    async def aclose(self) -> None:
        if self._pool is not None:
            await self._pool.aclose()
