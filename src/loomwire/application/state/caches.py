"""Everything that caches know while the process lives. Outlives every reload."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping

from loomwire.application.caching.flights import Flights
from loomwire.application.caching.tallies import CacheCounts, CacheTally
from loomwire.application.forks import renew_after_fork
from loomwire.domain.ports.cache import ICacheStores


class CacheStates:
    """The levels, the calls that are shared, and what is counted by client. Safe for threads and event loops.

    Args:
        stores: Opens the levels.

    Attributes:
        stores: Opens the levels.
        flights: Calls that are going on.
    """

    def __init__(self, stores: ICacheStores) -> None:
        """Keep nothing yet."""
        self.stores = stores
        self.flights = Flights()
        self._tallies: dict[str, CacheTally] = {}
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Go on counting in a child; another thread of the parent may have held a lock."""
        self._lock = threading.Lock()
        for tally in self._tallies.values():
            tally.after_fork()

    def tally(self, client: str) -> CacheTally:
        """Return the tally of a client, the same one for ever. Called at build time."""
        with self._lock:
            tally = self._tallies.get(client)
            if tally is None:
                tally = self._tallies[client] = CacheTally()
            return tally

    def retain(self, clients: Collection[str]) -> None:
        """Forget the tallies of all other clients."""
        with self._lock:
            self._tallies = {name: tally for name, tally in self._tallies.items() if name in clients}

    def counts(self) -> Mapping[str, CacheCounts]:
        """Return what was counted, by client."""
        with self._lock:
            tallies = dict(self._tallies)
        return {name: tally.counts() for name, tally in sorted(tallies.items())}
