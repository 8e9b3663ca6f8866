"""Everything that caches know while the process lives. Outlives every reload."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, TypeAlias

from loomwire.application.caching.flights import Flights
from loomwire.application.caching.purges import Purges
from loomwire.application.caching.tallies import CacheCounts, CacheTally
from loomwire.application.forks import renew_after_fork
from loomwire.domain.caching.policies import Level
from loomwire.domain.config import ClientConfig
from loomwire.domain.ports.caching.cache import ICacheStores
from loomwire.domain.ports.caching.similarity import ISimilarityIndexes
from loomwire.domain.ports.embedding import IEmbedder
from loomwire.domain.ports.memory import IMemoryHolder

if TYPE_CHECKING:
    from loomwire.application.caching.semantic.memories import SimilarMemories
    from loomwire.application.caching.semantic.tallies import SimilarCounts

EmbedderOf: TypeAlias = Callable[[ClientConfig], IEmbedder]
"""Builds the embedder of a client."""


class CacheStates:
    """The levels, the calls that are shared, and what is counted by client. Safe for threads and event loops.

    Args:
        stores: Opens the levels.
        indexes: Makes the indexes of questions, for clients that compare them.

    Attributes:
        stores: Opens the levels.
        embedder: Builds what embeds questions; None where nobody compares them. Set by whoever wires the parts.
        flights: Calls that are going on.
        purges: How often what is kept was purged, for those who keep what was asked for before.
    """

    def __init__(self, stores: ICacheStores, indexes: ISimilarityIndexes) -> None:
        """Keep nothing yet."""
        self.stores = stores
        self.embedder: EmbedderOf | None = None
        self._indexes = indexes
        self._memories: SimilarMemories | None = None
        self.flights = Flights()
        self.purges = Purges()
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

    @property
    def memories(self) -> SimilarMemories:
        """The questions that clients remember; made when somebody asks for them."""
        found = self._memories
        if found is None:
            from loomwire.application.caching.semantic.memories import SimilarMemories

            with self._lock:
                found = self._memories = self._memories or SimilarMemories(self._indexes)
        return found

    def similar(self) -> Mapping[str, SimilarCounts]:
        """Return what clients that compare questions counted, by client; nothing where none does."""
        return {} if self._memories is None else self._memories.counts()

    def memory_holders(self) -> Sequence[IMemoryHolder]:
        """Return what clients that compare questions remember; nothing where none does."""
        return () if self._memories is None else self._memories.holders()

    def retain(self, clients: Collection[str], levels: Iterable[Level]) -> None:
        """Forget what was counted and remembered of all other clients, and close every other level."""
        with self._lock:
            self._tallies = {name: tally for name, tally in self._tallies.items() if name in clients}
        if self._memories is not None:
            self._memories.retain(clients)
        self.stores.retain(levels)

    def counts(self) -> Mapping[str, CacheCounts]:
        """Return what was counted, by client."""
        with self._lock:
            tallies = dict(self._tallies)
        return {name: tally.counts() for name, tally in sorted(tallies.items())}

    def purged(self, namespace: str | None = None) -> None:
        """Have nothing kept in a namespace, or anywhere (None), of what was asked for before this instant.

        Those who wait for it get it all the same. From any thread.
        """
        self.purges.note(namespace)

    async def purge(self, namespace: str | None = None) -> None:
        """Forget a namespace, or everything (None), on every level, and keep nothing of what was asked for before.

        What a level cannot do now it does before it is used again. A cancellation is passed on once all levels were
        asked, which takes 5 s at most for each that does not answer.
        """
        self.purged(namespace)
        async with AsyncExitStack() as asking:
            # Run in reverse, so that no look in between lifts an entry back to a level above.
            for level in self.stores.levels():
                asking.push_async_callback(level.clear, namespace)
