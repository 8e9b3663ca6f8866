"""SimilarMemories: the remembered questions of all clients. Outlives every reload."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from loomwire.application.caching.semantic.memory import SimilarMemory
from loomwire.application.caching.semantic.tallies import SimilarCounts
from loomwire.application.forks import renew_after_fork
from loomwire.domain.caching.policies import CacheIndex
from loomwire.domain.ports.caching.similarity import ISimilarityIndexes

Place: TypeAlias = tuple[str, CacheIndex, bytes]
"""A client, how its questions are searched, and what embeds them."""


class SimilarMemories:
    """One memory for each client that has a semantic cache. Safe for threads.

    A client whose questions are embedded otherwise gets another one; the former stays until `retain`, because a
    configuration may be built and then not adopted.

    Args:
        indexes: Makes the indexes.
    """

    def __init__(self, indexes: ISimilarityIndexes) -> None:
        """Remember nothing yet."""
        self._indexes = indexes
        self._memories: dict[Place, SimilarMemory] = {}
        self._last: dict[str, Place] = {}
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Take a lock of its own in a child."""
        self._lock = threading.Lock()

    def memory(self, client: str, kind: CacheIndex, model: bytes, entries: int) -> SimilarMemory:
        """Return what a client remembers; the same as long as its vectors are comparable. Called at build time.

        Args:
            client: Its name.
            kind: How its questions are searched.
            model: What tells the model that embeds them from every other one.
            entries: How many are remembered, from now on.

        Raises:
            ConfigError: The package behind the index is not installed.
        """
        self._indexes.check(kind)
        with self._lock:
            place = self._last[client] = (client, kind, model)
            memory = self._memories.get(place)
            if memory is None:
                memory = self._memories[place] = SimilarMemory(client, partial(self._indexes.index, kind), entries)
        memory.limit(entries)
        return memory

    def retain(self, clients: Collection[str]) -> None:
        """Forget what all other clients remember, and what these did before their last memory."""
        with self._lock:
            self._last = {name: place for name, place in self._last.items() if name in clients}
            self._memories = {place: self._memories[place] for place in self._last.values()}

    def holders(self) -> Sequence[SimilarMemory]:
        """Return every memory, for who shares out this process's."""
        with self._lock:
            return [*self._memories.values()]

    def counts(self) -> Mapping[str, SimilarCounts]:
        """Return what was counted, by client."""
        with self._lock:
            held = {name: self._memories[place] for name, place in sorted(self._last.items())}
        return {name: memory.counts() for name, memory in held.items()}
