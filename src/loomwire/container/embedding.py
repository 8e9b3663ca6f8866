"""Handing out embedders and rerankers by the names of clients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping

from loomwire.application.handles.vectors import EmbedderHandle, RerankerHandle, SyncEmbedder, SyncReranker
from loomwire.application.loop_thread import LoopThread
from loomwire.application.registry import ClientHandle
from loomwire.domain.ports.embedding import IEmbedder, IReranker


class VectorResolver:
    """The part of a container that hands out embedders and rerankers. Safe for threads and event loops."""

    _threads: LoopThread

    @abstractmethod
    def _handle(self, name: str) -> ClientHandle: ...

    def embedder(self, name: str) -> IEmbedder:
        """Return the stable handle of a client's embedder; `resolve(IEmbedder, name)` in short.

        The client's first model embeds, and never another one: their vectors could not be compared. It sees reloads.

        Raises:
            UnknownNameError: No such client.
            CapabilityError: The provider type has no embeddings; the message lists those that have.
        """
        return self._embedder(name)

    def reranker(self, name: str) -> IReranker:
        """Return the stable handle of a client's reranker; `resolve(IReranker, name)` in short.

        Raises:
            UnknownNameError: No such client.
            CapabilityError: The provider type cannot rerank; the message lists those that can.
        """
        return self._reranker(name)

    def sync_embedder(self, name: str) -> SyncEmbedder:
        """Return the blocking twin of a client's embedder, for code outside event loops."""
        return SyncEmbedder(self._embedder(name), self._threads)

    def sync_reranker(self, name: str) -> SyncReranker:
        """Return the blocking twin of a client's reranker, for code outside event loops."""
        return SyncReranker(self._reranker(name), self._threads)

    def _vector_ports(self) -> Mapping[object, Callable[[str], object]]:
        return {
            IEmbedder: self.embedder,
            IReranker: self.reranker,
            SyncEmbedder: self.sync_embedder,
            SyncReranker: self.sync_reranker,
        }

    def _embedder(self, name: str) -> EmbedderHandle:
        handle = EmbedderHandle(self._handle(name))
        handle.check()
        return handle

    def _reranker(self, name: str) -> RerankerHandle:
        handle = RerankerHandle(self._handle(name))
        handle.check()
        return handle
