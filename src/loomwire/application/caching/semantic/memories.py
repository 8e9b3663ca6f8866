"""SimilarMemories: the remembered questions of all clients. Outlives every reload."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from loomwire.application.caching.semantic.memory import SimilarMemory
from loomwire.application.caching.semantic.tallies import SimilarCounts
from loomwire.application.forks import renew_after_fork
from loomwire.domain.caching.policies import CacheIndex
from loomwire.domain.ports.caching.similarity import ISimilarityIndexes


class SimilarMemories:
    """One memory for each client that has a semantic cache. Safe for threads.

    Args:
        indexes: Makes the indexes.
    """

    def __init__(self, indexes: ISimilarityIndexes) -> None:
        """Remember nothing yet."""
        self._indexes = indexes
        self._memories: dict[str, tuple[tuple[CacheIndex, bytes], SimilarMemory]] = {}
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
            made, memory = self._memories.get(client, (None, None))
            if memory is None or made != (kind, model):
                memory = SimilarMemory(client, partial(self._indexes.index, kind), entries)
                self._memories[client] = ((kind, model), memory)
        memory.limit(entries)
        return memory

    def retain(self, clients: Collection[str]) -> None:
        """Forget what all other clients remember."""
        with self._lock:
            self._memories = {name: held for name, held in self._memories.items() if name in clients}

    def holders(self) -> Sequence[SimilarMemory]:
        """Return every memory, for who shares out this process's."""
        with self._lock:
            return [memory for _, memory in self._memories.values()]

    def counts(self) -> Mapping[str, SimilarCounts]:
        """Return what was counted, by client."""
        with self._lock:
            held = dict(self._memories)
        return {name: memory.counts() for name, (_, memory) in sorted(held.items())}
