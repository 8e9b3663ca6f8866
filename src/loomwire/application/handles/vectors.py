"""What hosts hold of an embedder and a reranker: a name that always means the one in force, and blocking twins."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from loomwire.application.composed import single
from loomwire.application.embedding.first_use import FurtherChains
from loomwire.application.handles.handle import BlockingTwin, PartHandle
from loomwire.application.pipeline import Parts
from loomwire.domain.config import LLMConfig
from loomwire.domain.ports.embedding import IEmbedder, IEmbeddingFactory, IReranker
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse, RerankRequest, RerankResponse


class EmbedderHandle(PartHandle[IEmbedder], IEmbedder):
    """The embedder of a client, whichever is in force. Cheap, shareable, never stale; pickles as its client does."""

    __slots__ = ()

    word: ClassVar[str] = "Embedder"

    @override
    def part(self, chains: FurtherChains) -> IEmbedder:
        return chains.embedder()

    @override
    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        with self.leased() as embedder:
            return await embedder.embed(request)


class RerankerHandle(PartHandle[IReranker], IReranker):
    """The reranker of a client, whichever is in force. Cheap, shareable, never stale; pickles as its client does."""

    __slots__ = ()

    word: ClassVar[str] = "Reranker"

    @override
    def part(self, chains: FurtherChains) -> IReranker:
        return chains.reranker()

    @override
    async def rerank(self, request: RerankRequest) -> RerankResponse:
        with self.leased() as reranker:
            return await reranker.rerank(request)


class SyncEmbedder(BlockingTwin[IEmbedder]):
    """The blocking twin of an embedder. Safe to share by threads; never call it inside a running event loop."""

    def embed(self, request: EmbedRequest) -> EmbedResponse:
        """Return one vector for each text; raises what the async embedder raises.

        Raises:
            LLMValidationError: reason sync_in_loop, inside a running event loop.
        """
        return self.thread.run(self.inner.embed(request), "use `await embedder.embed(...)`")


class SyncReranker(BlockingTwin[IReranker]):
    """The blocking twin of a reranker. Safe to share by threads; never call it inside a running event loop."""

    def rerank(self, request: RerankRequest) -> RerankResponse:
        """Return the best documents, best first; raises what the async reranker raises.

        Raises:
            LLMValidationError: reason sync_in_loop, inside a running event loop.
        """
        return self.thread.run(self.inner.rerank(request), "use `await reranker.rerank(...)`")


class ComposedEmbeddings(IEmbeddingFactory):
    """Builds embedders and rerankers for one model with the whole chain: deadline, batches, limits, observation.

    Args:
        parts: What every chain is made from; its factory makes the leaf.
    """

    __slots__ = ("_parts",)

    def __init__(self, parts: Parts) -> None:
        """Build nothing yet."""
        self._parts = parts

    @override
    def embedder(self, config: LLMConfig) -> IEmbedder:
        from loomwire.application.embedding.chains import build_embedder

        return build_embedder(single(config.name, config), self._parts)

    @override
    def reranker(self, config: LLMConfig) -> IReranker:
        from loomwire.application.embedding.chains import build_reranker

        return build_reranker(single(config.name, config), self._parts)
