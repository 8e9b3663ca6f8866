"""The connection pool: lends the right to send to an origin, per event loop, safe for threads and forks."""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
import weakref
from collections.abc import Collection
from typing import TYPE_CHECKING

from typing_extensions import override

from loomwire.domain.errors import LLMError, llm_error
from loomwire.domain.policies import TransportPolicy
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.pool import ConnectionLease, IConnectionPool, Place, PoolStats
from loomwire.domain.requests import Bound
from loomwire.infrastructure.transport.addresses import Origin
from loomwire.infrastructure.transport.connections import Resolver
from loomwire.infrastructure.transport.engine import AiohttpTransport
from loomwire.infrastructure.transport.leases import Lease, Site, Tally
from loomwire.infrastructure.transport.loops import LoopRoom, TransportFactory

if TYPE_CHECKING:
    import httpx

_pools: weakref.WeakSet[ConnectionPool] = weakref.WeakSet()
_abandoned: list[LoopRoom] = []
"""Rooms of parent processes. Kept for ever, because closing or collecting them would touch the parent's sockets."""


class ConnectionPool(IConnectionPool):
    """Pools connections per event loop, origin and policy, on aiohttp's network engine behind httpx's transport seam.

    One pool serves any number of loops and threads. Connections close with their loop, without any action of the host;
    after a fork the child starts with none. At most `policy.pool.max_connections` leases of an origin are out per loop;
    further callers stand in line, first come, first served.

    Args:
        transport_factory: Makes the transport for an origin instead of the network engine, such as
            `lambda origin, policy: httpx.MockTransport(handler)`.
        resolver: Resolves host names instead of the system; what it returns is checked like the system's answers.
        tls: The TLS context instead of the process-wide one that trusts the system's authorities.
        clock: Whose instants bounds are; None for the event loop's own time.

    Example:
        >>> pool = ConnectionPool()
        >>> pool.get_stats().total
        0
    """

    def __init__(
        self,
        *,
        transport_factory: TransportFactory | None = None,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
        clock: IClock | None = None,
    ) -> None:
        """Open nothing: the first request does."""
        self._make: TransportFactory = transport_factory or self._engine
        self._resolver = resolver
        self._tls = tls
        self._clock = clock
        self._closed = False
        self._begin()
        _pools.add(self)

    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = TransportPolicy(), bound: Bound | None = None
    ) -> ConnectionLease:
        site = self._room().site(base_url, policy)
        if not site.station.permits.take():
            await _stand_in_line(site, site.station.local(bound))
        return Lease(site)

    @override
    def release(self, lease: ConnectionLease) -> None:
        if isinstance(lease, Lease):
            lease.release()

    @override
    def get_stats(self) -> PoolStats:
        stations = [station for room in self._rooms_now() for station in room.stations]
        engines = [each.transport for each in stations if isinstance(each.transport, AiohttpTransport)]
        return PoolStats(
            total=self._tally.total,
            successful=self._tally.successful,
            reused=self._tally.reused,
            opened=self._tally.opened,
            active=sum(station.permits.out for station in stations),
            idle=sum(engine.idle for engine in engines),
            waiting=sum(station.permits.waiting for station in stations),
        )

    @override
    async def aclose(self) -> None:
        self._closed = True
        here = asyncio.get_running_loop()
        for room in self._rooms_now():
            if room.loop is here:
                await room.aclose()
            else:
                room.retire()

    @override
    def close_unused(self, gone: Collection[Place], used: Collection[Place]) -> None:
        for room in self._rooms_now():
            room.close_unused(gone, used)

    def leave_parent(self) -> None:
        """Forget everything that was inherited by a fork; called in the child, by itself."""
        for pointer in list(self._rooms.values()):
            room = pointer()
            if room is not None:
                room.abandon()
                _abandoned.append(room)
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        # New after a fork, because another thread of the parent may have held the old one.
        self._lock = threading.Lock()
        self._tally = Tally()
        self._rooms: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[LoopRoom]] = (
            weakref.WeakKeyDictionary()
        )

    def _room(self) -> LoopRoom:
        if self._pid != os.getpid():
            self.leave_parent()
        if self._closed:
            raise llm_error("closed", "the connection pool is closed")
        loop = asyncio.get_running_loop()
        pointer = self._rooms.get(loop)
        room = None if pointer is None else pointer()
        return room if room is not None and not room.left else self._new_room(loop)

    def _new_room(self, loop: asyncio.AbstractEventLoop) -> LoopRoom:
        room = LoopRoom(self._tally, self._make, self._clock)
        with self._lock:
            for other in [each for each in self._rooms if each.is_closed()]:
                del self._rooms[other]
            self._rooms[loop] = weakref.ref(room)
        return room

    def _rooms_now(self) -> list[LoopRoom]:
        with self._lock:
            pointers = list(self._rooms.values())
        return [room for room in (pointer() for pointer in pointers) if room is not None]

    def _engine(self, origin: Origin, policy: TransportPolicy, /) -> httpx.AsyncBaseTransport:
        return AiohttpTransport(origin, policy, self._tally.carried, resolver=self._resolver, tls=self._tls)


async def _stand_in_line(site: Site, bound: Bound | None) -> None:
    station = site.station
    until = station.loop.time() + station.policy.queue_s
    bounded = bound is not None and bound.at < until
    in_time = await station.permits.wait(bound.at if bound is not None and bounded else until)
    if station.gone:
        raise llm_error("closed", "the connection pool was closed", endpoint=station.endpoint)
    if not in_time:
        raise _not_in_time(site, bound if bounded else None)


def _not_in_time(site: Site, bound: Bound | None) -> LLMError:
    station = site.station
    reason = "queue" if bound is None else bound.reason
    message = f"no connection to {station.endpoint} became free within {station.policy.queue_s:g} s"
    if bound is not None:
        message = f"the {bound.reason} ended before a connection to {station.endpoint} became free"
    return llm_error(reason, message, endpoint=station.endpoint, phase="connect")


def _after_fork() -> None:
    for pool in list(_pools):
        pool.leave_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
