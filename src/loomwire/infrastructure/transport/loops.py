"""What a pool holds on one event loop, and how it goes away with that loop."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from abc import abstractmethod
from collections.abc import AsyncGenerator, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from loomwire.domain.errors import ConfigError
from loomwire.domain.policies import TransportPolicy
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.pool import Place
from loomwire.infrastructure.transport.addresses import Origin, split_base_url
from loomwire.infrastructure.transport.engine import AiohttpTransport
from loomwire.infrastructure.transport.leases import Site, Station, Tally

if TYPE_CHECKING:
    import httpx

_A_DAY_S = 86_400.0
_KEPT_STATIONS = 64


class TransportFactory(Protocol):
    """Makes the transport for an origin; called on the loop that will use it."""

    @abstractmethod
    def __call__(self, origin: Origin, policy: TransportPolicy, /) -> httpx.AsyncBaseTransport:
        """Return a transport of its own for this origin and policy; it is closed with the loop."""


class LoopRoom:
    """The stations of one pool on the running event loop.

    The loop owns the room through a timer, and the pool only points at it: a loop that is dropped takes its
    connections along. A loop that is shut down properly closes them first, through an async generator that it finishes
    in `shutdown_asyncgens()`. Neither needs any action of the host.

    Args:
        tally: Where requests are counted.
        make: Makes a transport per origin and policy.
        clock: Whose instants bounds are; None for the loop's own time.

    Attributes:
        loop: The loop it belongs to.
        left: It is closed.
    """

    def __init__(self, tally: Tally, make: TransportFactory, clock: IClock | None = None) -> None:
        """Bind to the running loop."""
        self.loop = asyncio.get_running_loop()
        self._tally = tally
        self._make = make
        self._clock = clock
        self._sites: dict[str, tuple[Site, ...]] = {}
        self._stations: dict[tuple[Origin, TransportPolicy], Station] = {}
        # No longer asked for, and some call may still be on their way.
        self._leaving: list[Station] = []
        self.left = False
        self._anchor = self.loop.call_later(_A_DAY_S, self._stay)
        self._closer: AsyncGenerator[None, None] | None = _close_with_loop(weakref.ref(self))
        _first_step(self._closer)

    @property
    def stations(self) -> tuple[Station, ...]:
        """All stations so far. Safe from any thread."""
        return (*self._stations.values(), *self._leaving)

    def site(self, base_url: str, policy: TransportPolicy) -> Site:
        """Return the site for a base URL; made on the first call. Only on this room's loop.

        Raises:
            ConfigError: The base URL is not allowed.
        """
        known = self._sites.get(base_url, ())
        for site in known:
            if site.station.policy is policy or site.station.policy == policy:
                return site
        origin, normal = split_base_url(base_url, allow_private=policy.allow_private)
        station = self._stations.get((origin, policy))
        if station is None:
            self._prune()
            station = Station(origin, policy, self._make(origin, policy), self._tally, self._clock)
            self._stations[origin, policy] = station
        site = Site(base_url, normal, station)
        self._sites[base_url] = (*known, site)
        return site

    async def aclose(self) -> None:
        """Close every connection and wait until the sockets are closed. Only on this room's loop; idempotent."""
        if self._closer is not None:
            await self._closer.aclose()

    async def close_with_loop(self) -> None:
        """Close every connection; a cancellation does not keep the rest from being closed. Called by the closer."""
        # The generator's hook holds the loop, so it must go for the loop to go.
        self._closer = None
        closing = [station.transport.aclose() for station in self._leave()]
        await asyncio.shield(asyncio.gather(*closing, return_exceptions=True))

    def retire(self) -> None:
        """Keep no idle connection from now on; what is in use closes when it comes back. From any thread."""
        with contextlib.suppress(RuntimeError):  # the loop closed first
            self.loop.call_soon_threadsafe(self._retire)

    def close_unused(self, gone: Iterable[Place], used: Iterable[Place]) -> None:
        """Let go of origins that nobody asks for any more; see `IConnectionPool.close_unused`. From any thread."""
        with contextlib.suppress(RuntimeError):  # the loop closed first
            self.loop.call_soon_threadsafe(self._close_unused, tuple(gone), tuple(used))

    def abandon(self) -> None:
        """Touch nothing any more: the connections belong to the parent process."""
        for station in self.stations:
            station.gone = True
        for engine in self._engines():
            engine.abandon()

    def _prune(self) -> None:
        # Every reload may bring new policies; what nobody uses any more must not pile up with them.
        if len(self._stations) < _KEPT_STATIONS:
            return
        self._stations = {key: station for key, station in self._stations.items() if not station.unused}
        self._forget_sites()

    def _close_unused(self, gone: tuple[Place, ...], used: tuple[Place, ...]) -> None:
        self._leaving = [station for station in self._leaving if not station.unused]
        wanted = set(filter(None, map(_key, used)))
        for key in filter(None, map(_key, gone)):
            station = None if key in wanted else self._stations.pop(key, None)
            if station is None:
                continue
            if isinstance(station.transport, AiohttpTransport):
                station.transport.retire()
            self._leaving.append(station)
        self._forget_sites()

    def _forget_sites(self) -> None:
        kept = set(self._stations.values())
        left = {url: tuple(site for site in sites if site.station in kept) for url, sites in self._sites.items()}
        self._sites = {url: sites for url, sites in left.items() if sites}

    def _retire(self) -> None:
        for engine in self._engines():
            engine.retire()

    def _engines(self) -> Iterator[AiohttpTransport]:
        for station in self.stations:
            if isinstance(station.transport, AiohttpTransport):
                yield station.transport

    def _leave(self) -> tuple[Station, ...]:
        self.left = True
        self._anchor.cancel()
        stations = self.stations
        self._stations.clear()
        self._leaving.clear()
        self._sites.clear()
        for station in stations:
            station.gone = station.place.closed = True
            station.permits.dismiss()
        return stations

    def _stay(self) -> None:
        self._anchor = self.loop.call_later(_A_DAY_S, self._stay)


def _key(place: Place) -> tuple[Origin, TransportPolicy] | None:
    base_url, policy = place
    try:
        return split_base_url(base_url, allow_private=policy.allow_private)[0], policy
    except ConfigError:
        return None  # nobody can have connected to it


async def _close_with_loop(room: weakref.ref[LoopRoom]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        living = room()
        if living is not None:
            await living.close_with_loop()


def _first_step(closer: AsyncGenerator[None, None]) -> None:
    # It never waits, so one step runs it to its yield; that step is what the loop's hook notices.
    try:
        closer.__anext__().__await__().__next__()
    except StopIteration:
        return
