"""A connection pool that costs nothing until a networked provider needs it: httpx and aiohttp take 20 MB to import."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Collection
from typing import TYPE_CHECKING

from typing_extensions import override

from loomwire.domain.errors import llm_error
from loomwire.domain.policies import TransportPolicy
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.pool import ConnectionLease, IConnectionPool, Place, PoolStats
from loomwire.domain.requests import Bound

if TYPE_CHECKING:
    from loomwire.infrastructure.transport.pool import ConnectionPool


_pools: weakref.WeakSet[DeferredPool] = weakref.WeakSet()


class DeferredPool(IConnectionPool):
    """Stands for the `ConnectionPool` it makes on first use; the factory imports that module at build time.

    Args:
        clock: Whose instants bounds are; None for the event loop's own time.
    """

    def __init__(self, clock: IClock | None = None) -> None:
        """Make nothing yet."""
        self._clock = clock
        self._pool: ConnectionPool | None = None
        self._closed = False
        self.leave_parent()
        _pools.add(self)

    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = TransportPolicy(), bound: Bound | None = None
    ) -> ConnectionLease:
        return await (self._pool or self._made()).acquire(base_url, policy, bound)

    @override
    def release(self, lease: ConnectionLease) -> None:
        if self._pool is not None:
            self._pool.release(lease)

    @override
    def get_stats(self) -> PoolStats:
        return PoolStats() if self._pool is None else self._pool.get_stats()

    @override
    async def aclose(self) -> None:
        self._closed = True
        if self._pool is not None:
            await self._pool.aclose()

    @override
    def close_unused(self, gone: Collection[Place], used: Collection[Place]) -> None:
        if self._pool is not None:
            self._pool.close_unused(gone, used)

    def leave_parent(self) -> None:
        """Take a new lock; called in a forked child, because a thread of the parent may have held the old one."""
        self._lock = threading.Lock()

    def _made(self) -> ConnectionPool:
        from loomwire.infrastructure.transport.pool import ConnectionPool

        with self._lock:
            if self._closed:
                raise llm_error("closed", "the connection pool is closed")
            if self._pool is None:
                self._pool = ConnectionPool(clock=self._clock)
            return self._pool


def _after_fork() -> None:
    for pool in list(_pools):
        pool.leave_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
