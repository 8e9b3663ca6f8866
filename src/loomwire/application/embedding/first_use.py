"""VectorChains: the embedder and the reranker of one client, whose modules are imported when somebody asks for one."""

from __future__ import annotations

import threading

from loomwire.application.forks import renew_after_fork
from loomwire.application.pipeline import Parts
from loomwire.domain.config import ClientConfig
from loomwire.domain.ports.embedding import IEmbedder, IReranker


class VectorChains:
    """The embedder and the reranker of one client, each built when it is first asked for. Safe for threads.

    Args:
        config: The client as it stands in the snapshot.
        parts: What chains are made from.
    """

    __slots__ = ("__weakref__", "_config", "_embedder", "_lock", "_parts", "_reranker")

    def __init__(self, config: ClientConfig, parts: Parts) -> None:
        """Build nothing."""
        self._config = config
        self._parts = parts
        self._embedder: IEmbedder | None = None
        self._reranker: IReranker | None = None
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Take a lock of its own in a child."""
        self._lock = threading.RLock()

    def embedder(self) -> IEmbedder:
        """Return the embedder, always the same one.

        Raises:
            CapabilityError: The provider type has no embeddings.
            ConfigError: It cannot be built.
        """
        found = self._embedder
        if found is None:
            from loomwire.application.embedding.chains import build_embedder

            with self._lock:
                found = self._embedder = self._embedder or build_embedder(self._config, self._parts)
        return found

    def reranker(self) -> IReranker:
        """Return the reranker, always the same one.

        Raises:
            CapabilityError: The provider type cannot rerank.
            ConfigError: It cannot be built.
        """
        found = self._reranker
        if found is None:
            from loomwire.application.embedding.chains import build_reranker

            with self._lock:
                found = self._reranker = self._reranker or build_reranker(self._config, self._parts)
        return found
