"""Handing out embedders, rerankers and token counters by the names of clients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping

from loomwire.application.handles.counting import CounterHandle, SyncTokenCounter
from loomwire.application.handles.vectors import EmbedderHandle, RerankerHandle, SyncEmbedder, SyncReranker
from loomwire.application.loop_thread import LoopThread
from loomwire.application.registry import ClientHandle
from loomwire.domain.ports.counting import ITokenCounter
from loomwire.domain.ports.embedding import IEmbedder, IReranker


class PartResolver:
    """The part of a container that hands out what a client is beside a client. Safe for threads and event loops."""

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
        return EmbedderHandle(self._handle(name)).check()

    def reranker(self, name: str) -> IReranker:
        """Return the stable handle of a client's reranker; `resolve(IReranker, name)` in short.

        Raises:
            UnknownNameError: No such client.
            CapabilityError: The provider type cannot rerank; the message lists those that can.
        """
        return RerankerHandle(self._handle(name)).check()

    def token_counter(self, name: str) -> ITokenCounter:
        """Return the stable handle of a client's token counter; `resolve(ITokenCounter, name)` in short.

        The provider of the client's first model counts, and never another one: other models have other tokens. It
        counts what `generate` of the client would send, and it sees reloads.

        Raises:
            UnknownNameError: No such client.
            CapabilityError: The provider type cannot count over the target's dialect; the message lists those that can.
        """
        return CounterHandle(self._handle(name)).check()

    def sync_embedder(self, name: str) -> SyncEmbedder:
        """Return the blocking twin of a client's embedder, for code outside event loops."""
        return SyncEmbedder(self.embedder(name), self._threads)

    def sync_reranker(self, name: str) -> SyncReranker:
        """Return the blocking twin of a client's reranker, for code outside event loops."""
        return SyncReranker(self.reranker(name), self._threads)

    def sync_token_counter(self, name: str) -> SyncTokenCounter:
        """Return the blocking twin of a client's token counter, for code outside event loops."""
        return SyncTokenCounter(self.token_counter(name), self._threads)

    def _part_ports(self) -> Mapping[object, Callable[[str], object]]:
        return {
            IEmbedder: self.embedder,
            IReranker: self.reranker,
            ITokenCounter: self.token_counter,
            SyncEmbedder: self.sync_embedder,
            SyncReranker: self.sync_reranker,
            SyncTokenCounter: self.sync_token_counter,
        }
