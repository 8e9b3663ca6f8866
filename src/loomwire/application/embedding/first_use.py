"""FurtherChains: what a client is beside a client, whose modules are imported when somebody asks for one of them."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from loomwire.application.forks import renew_after_fork
from loomwire.application.pipeline import Parts
from loomwire.domain.config import ClientConfig
from loomwire.domain.ports.embedding import IEmbedder, IReranker

if TYPE_CHECKING:
    from loomwire.domain.ports.counting import ITokenCounter


class FurtherChains:
    """Embedder, reranker and token counter of one client, each built when it is first asked for. Safe for threads.

    Args:
        source: The client as it stands in the snapshot: where it embeds is not where it chats.
        parts: What chains are made from.
        chats: The client as its own chain was built, for what counts; None for the same.
    """

    __slots__ = ("__weakref__", "_chats", "_counter", "_embedder", "_lock", "_parts", "_reranker", "_source")

    def __init__(self, source: ClientConfig, parts: Parts, chats: ClientConfig | None = None) -> None:
        """Build nothing."""
        self._source = source
        self._chats = chats or source
        self._parts = parts
        self._embedder: IEmbedder | None = None
        self._reranker: IReranker | None = None
        self._counter: ITokenCounter | None = None
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
                found = self._embedder = self._embedder or build_embedder(self._vectors(), self._parts)
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
                found = self._reranker = self._reranker or build_reranker(self._vectors(), self._parts)
        return found

    def counter(self) -> ITokenCounter:
        """Return the token counter, always the same one.

        Raises:
            CapabilityError: The provider type cannot count over the target's dialect.
            ConfigError: It cannot be built.
        """
        found = self._counter
        if found is None:
            from loomwire.application.embedding.counting import build_counter

            with self._lock:
                found = self._counter = self._counter or build_counter(self._chats, self._parts)
        return found

    def _vectors(self) -> ClientConfig:
        # Where it embeds is told by its own words and not by where it chats; what it costs is the same knowledge.
        known = self._chats.targets[0]
        target = replace(self._source.targets[0], prices=known.prices, free=known.free)
        return replace(self._source, targets=(target,), weights=())
