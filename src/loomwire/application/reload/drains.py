"""Generations that were replaced and still have calls; what only they connect to is closed when the last one ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from loomwire.application.forks import renew_after_fork
from loomwire.application.generation import Generation
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.pool import IConnectionPool

DRAIN_S: Final = 30.0
"""How long a replaced generation keeps idle connections for calls in flight."""


class Drains:
    """Knows the generations that are on their way out. Safe for threads and event loops; never waits.

    No call is ever cut off: the deadline closes connections that nobody uses, and those in use when they come back.

    Args:
        pool: Whose connections are closed.
        clock: For the deadline.
        in_force: Tells the generation in force.
    """

    def __init__(self, pool: IConnectionPool, clock: IClock, in_force: Callable[[], Generation]) -> None:
        """Know none yet."""
        self._pool = pool
        self._clock = clock
        self._in_force = in_force
        self._since: dict[Generation, float] = {}
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Take a new lock in a child; the parent's calls are not there, so nothing is left to wait for."""
        self._lock = threading.Lock()
        self._since.clear()

    @property
    def waiting(self) -> int:
        """How many replaced generations still have calls."""
        return len(self._since)

    @property
    def leases(self) -> int:
        """How many calls and pinned runs use replaced generations."""
        with self._lock:
            return sum(generation.leases for generation in self._since)

    @property
    def living(self) -> tuple[Generation, ...]:
        """The generation in force, and those that still have calls."""
        with self._lock:
            return (self._in_force(), *self._since)

    def retire(self, generation: Generation) -> None:
        """Begin to let go of a generation that is no longer in force."""
        with self._lock:
            self._since[generation] = self._clock.now()
        generation.retire(self._ended)

    def sweep(self) -> None:
        """Close what generations past the deadline keep. There is no timer: reloads and looks at the health do it."""
        latest = self._clock.now() - DRAIN_S
        with self._lock:
            late = [generation for generation, since in self._since.items() if since <= latest]
        for generation in late:
            self._close(generation)

    def _ended(self, generation: Generation) -> None:
        with self._lock:
            self._since.pop(generation, None)
        self._close(generation)

    def _close(self, generation: Generation) -> None:
        with self._lock:
            others = [each for each in self._since if each is not generation]
        living = [self._in_force(), *others]
        gone = generation.places.difference(*(each.places for each in living))
        if gone:
            self._pool.close_unused(gone, frozenset().union(*(each.places for each in living)))
