"""Flights: work that several callers wait for, done once in a task of its own."""

from __future__ import annotations

import asyncio
import math
import threading
import weakref
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from typing import Final, TypeGuard, TypeVar

from loomwire.application.caching.flight import Flight
from loomwire.application.forks import renew_after_fork
from loomwire.domain.errors import AllTargetsFailedError, LoomError

T = TypeVar("T")

AHEAD_S: Final = 0.25
"""How much longer than another's work a caller must have, to begin it anew: less is no time for an attempt."""

# What ends so may end otherwise for somebody who has more time.
_OF_TIME: Final = frozenset({"deadline", "attempt", "queue"})

_LATELY: Final = 256


def _never() -> float:
    return -math.inf


class _Room:
    """The flights of one event loop: those that may be joined, all of them, and which keys landed last."""

    __slots__ = ("every", "landings", "lately", "open")

    def __init__(self) -> None:
        self.landings = 0
        self.open: dict[Hashable, Flight[object]] = {}
        self.every: set[Flight[object]] = set()
        self.lately: dict[Hashable, int] = {}

    def left(self, flight: Flight[object]) -> None:
        """Let nobody join a flight any more; forget it when it has ended."""
        if self.open.get(flight.key) is flight:
            del self.open[flight.key]
        if not flight.task.done():
            return
        self.every.discard(flight)
        if flight.error is None and not flight.task.cancelled():
            self.landings += 1
            self.lately.pop(flight.key, None)
            self.lately[flight.key] = self.landings
            if len(self.lately) > _LATELY:
                del self.lately[next(iter(self.lately))]

    def clear(self) -> None:
        """Cancel all flights; who waits is told that everything closes."""
        for flight in self.every:
            flight.closed = True
            flight.task.cancel()


class Flights:
    """Lets the first caller's work be done in a task of its own, and all who come meanwhile wait for it.

    One flight per key and event loop; loops share nothing. Safe to call from any thread that runs a loop, and after a
    fork, in which the child knows of no flight.

    - Nobody's cancellation harms the others. The last one who leaves cancels the work and goes when it has ended, so
      that what it held is back; whoever comes after that begins anew.
    - An error goes to all who wait, to each as a copy of its own without its cause's frames, and is forgotten. A caller
      that is alone with its flight gets the error itself.
    - Who has at least 0.25 s more time than the work does not share that it ran out of time, but begins anew.
    - What was too slow for one caller is joined by no further one: it may hang, and has more time for that than they.
    - No task is without an owner: each ends by itself, by its last caller, or by `close`.
    """

    def __init__(self) -> None:
        """Know of none."""
        self._closed = False
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Forget in a child what the parent does."""
        self._lock = threading.Lock()
        self._rooms: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Room] = weakref.WeakKeyDictionary()

    async def joined(
        self,
        key: Hashable,
        work: Callable[[], Awaitable[T]],
        *,
        until: float = math.inf,
        unless: Callable[[Flight[object]], bool] | None = None,
        now: Callable[[], float] = _never,
    ) -> tuple[T, bool]:
        """Return what `work` gives, or what the equal work of somebody else gives.

        Args:
            key: What is done once at a time; who shares a key gets one type of result.
            work: Does it; called at most once, in a task of its own with the context of this one.
            until: The instant (monotonic seconds) by which this caller's work ends by itself.
            unless: Tells of somebody else's flight that has landed whether this caller has to begin anew.
            now: Monotonic seconds: who leaves after `until` found the work too slow.

        Returns:
            The result, and whether it was somebody else's work.

        Raises:
            ClientRemovedError: reason closed, when `close` ended it.
            CancelledError: The caller was cancelled; the work has ended when nobody else waits for it.
        """
        while True:
            flight, is_mine = self.boarded(key, work, until)
            try:
                await flight.landing()
            except asyncio.CancelledError:
                if flight.left(late=now() >= until):
                    await flight.cancelled()
                raise
            flight.left()
            if is_mine or not (is_for_others(flight, until) or (unless is not None and unless(flight))):
                return flight.result(), not is_mine

    def boarded(
        self,
        key: Hashable,
        work: Callable[[], Awaitable[T]],
        until: float = math.inf,
        unless: Callable[[Flight[object]], bool] | None = None,
    ) -> tuple[Flight[T], bool]:
        """Return the flight of a key with a seat taken, and whether it began just now with `work`.

        Whoever calls this has to call `Flight.left` once.

        Args:
            key: See `joined`.
            work: Likewise.
            until: Likewise.
            unless: Tells of somebody else's flight whether it is not for this caller; another one takes its place.
        """
        flight, is_new = self._flight(key, work, until, unless)
        flight.seats += 1
        flight.taken += 1
        return flight, is_new

    def is_awaited(self, key: Hashable) -> bool:
        """Return whether somebody waits for this now on this loop; what is done behind is another matter."""
        flight = self._room().open.get(key)
        return flight is not None and not flight.stays and not flight.task.done()

    def landings(self) -> int:
        """Return how many flights have landed with a result on this loop so far, for `landed_since`."""
        return self._room().landings

    def landed_since(self, key: Hashable, landings: int) -> bool:
        """Return whether this was done on this loop since then, so that what was kept of it is there by now.

        Only the 256 keys that landed last are known.
        """
        return self._room().lately.get(key, 0) > landings

    def behind(self, key: Hashable, work: Callable[[], Awaitable[object]], *, until: float = math.inf) -> bool:
        """Begin work that nobody has to wait for, unless equal work goes on; whoever comes meanwhile may join it.

        Nobody is told of its errors.

        Returns:
            Whether it began.
        """
        if self._closed:
            return False
        flight, is_new = self._flight(key, work, until, None)
        flight.stays = flight.stays or is_new
        return is_new

    def close(self) -> None:
        """Have every flight cancelled on its own loop, from any thread; who waits gets `ClientRemovedError`.

        Work that nobody waits for does not begin any more. Calls are not refused, but for that the container is there.
        """
        self._closed = True
        with self._lock:
            rooms = list(self._rooms.items())
        for loop, room in rooms:
            with suppress(RuntimeError):  # the loop closed first, and its tasks with it
                loop.call_soon_threadsafe(room.clear)

    async def aclose(self) -> None:
        """Close, and wait until the flights of the running loop have ended."""
        self.close()
        room = self._room()
        room.clear()
        tasks = [flight.task for flight in room.every]
        if tasks:
            await asyncio.wait(tasks)

    def _flight(
        self,
        key: Hashable,
        work: Callable[[], Awaitable[T]],
        until: float,
        unless: Callable[[Flight[object]], bool] | None,
    ) -> tuple[Flight[T], bool]:
        room = self._room()
        known = room.open.get(key)
        if known is not None and not known.task.done() and _is_of(known, work) and not (unless and unless(known)):
            return known, False
        flight = Flight(key, work, until, room.left)
        room.open[key] = flight
        room.every.add(flight)
        return flight, True

    def _room(self) -> _Room:
        loop = asyncio.get_running_loop()
        room = self._rooms.get(loop)
        if room is None:
            with self._lock:
                # Their tasks hold them, so that they would never go by themselves.
                for old in [old for old in self._rooms if old.is_closed()]:
                    del self._rooms[old]
                room = self._rooms[loop] = _Room()
        return room


def is_for_others(flight: Flight[object], until: float) -> bool:
    """Tell whether a flight that somebody else began failed of its own time, or was cancelled by nobody here.

    Args:
        flight: It has landed.
        until: The instant by which the caller who asks has to have its result.
    """
    error = flight.error
    if error is None:
        return flight.task.cancelled() and not flight.closed
    if isinstance(error, AllTargetsFailedError) and error.errors:
        error = error.errors[-1]
    return isinstance(error, LoomError) and error.reason in _OF_TIME and flight.until + AHEAD_S <= until


def _is_of(_: Flight[object], __: Callable[[], Awaitable[T]]) -> TypeGuard[Flight[T]]:
    # Who shares a key shares a type; it is told to the type checker here, and nowhere else.
    return True
