"""What hosts hold of an embedder and a reranker: a name that always means the one in force, and blocking twins."""

from __future__ import annotations

from typing import NoReturn, TypeAlias

from typing_extensions import override

from loomwire.application.loop_thread import LoopThread
from loomwire.application.pipeline import Parts
from loomwire.application.registry import ClientHandle, not_pickled
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.ports.embedding import IEmbedder, IEmbeddingFactory, IReranker
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse, RerankRequest, RerankResponse

_AnEmbedder: TypeAlias = "tuple[type[EmbedderHandle], tuple[ClientHandle]]"
_AReranker: TypeAlias = "tuple[type[RerankerHandle], tuple[ClientHandle]]"


class EmbedderHandle(IEmbedder):
    """The embedder of a client, whichever is in force. Cheap, shareable, never stale; pickles as its client does.

    Args:
        client: The handle of the client.
    """

    __slots__ = ("_client",)

    def __init__(self, client: ClientHandle) -> None:
        """Stand for the embedder of `client`."""
        self._client = client

    @property
    def name(self) -> str:
        """The client's name."""
        return self._client.name

    @override
    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        lease = self._client.lease()
        with lease:
            return await lease.entry.vectors.embedder().embed(request)

    def check(self) -> None:
        """Build the embedder in force if that was not done yet.

        Raises:
            CapabilityError: The provider type has no embeddings.
            ConfigError: It cannot be built.
            ClientRemovedError: The client is gone.
        """
        self._client.lease().entry.vectors.embedder()

    @override
    def __reduce__(self) -> _AnEmbedder:
        return EmbedderHandle, (self._client,)

    @override
    def __repr__(self) -> str:
        return f"Embedder({self.name})"


class RerankerHandle(IReranker):
    """The reranker of a client, whichever is in force. Cheap, shareable, never stale; pickles as its client does.

    Args:
        client: The handle of the client.
    """

    __slots__ = ("_client",)

    def __init__(self, client: ClientHandle) -> None:
        """Stand for the reranker of `client`."""
        self._client = client

    @property
    def name(self) -> str:
        """The client's name."""
        return self._client.name

    @override
    async def rerank(self, request: RerankRequest) -> RerankResponse:
        lease = self._client.lease()
        with lease:
            return await lease.entry.vectors.reranker().rerank(request)

    def check(self) -> None:
        """Build the reranker in force if that was not done yet.

        Raises:
            CapabilityError: The provider type cannot rerank.
            ConfigError: It cannot be built.
            ClientRemovedError: The client is gone.
        """
        self._client.lease().entry.vectors.reranker()

    @override
    def __reduce__(self) -> _AReranker:
        return RerankerHandle, (self._client,)

    @override
    def __repr__(self) -> str:
        return f"Reranker({self.name})"


class SyncEmbedder:
    """The blocking twin of an embedder. Safe to share by threads; never call it inside a running event loop.

    Args:
        embedder: The async embedder.
        thread: The container's loop thread.
    """

    def __init__(self, embedder: IEmbedder, thread: LoopThread) -> None:
        """Wrap `embedder`."""
        self._embedder = embedder
        self._thread = thread

    def embed(self, request: EmbedRequest) -> EmbedResponse:
        """Return one vector for each text; raises what the async embedder raises.

        Raises:
            LLMValidationError: reason sync_in_loop, inside a running event loop.
        """
        return self._thread.run(self._embedder.embed(request), "use `await embedder.embed(...)`")

    @override
    def __reduce__(self) -> NoReturn:
        raise not_pickled()

    @override
    def __repr__(self) -> str:
        return f"Sync > {self._embedder!r}"


class SyncReranker:
    """The blocking twin of a reranker. Safe to share by threads; never call it inside a running event loop.

    Args:
        reranker: The async reranker.
        thread: The container's loop thread.
    """

    def __init__(self, reranker: IReranker, thread: LoopThread) -> None:
        """Wrap `reranker`."""
        self._reranker = reranker
        self._thread = thread

    def rerank(self, request: RerankRequest) -> RerankResponse:
        """Return the best documents, best first; raises what the async reranker raises.

        Raises:
            LLMValidationError: reason sync_in_loop, inside a running event loop.
        """
        return self._thread.run(self._reranker.rerank(request), "use `await reranker.rerank(...)`")

    @override
    def __reduce__(self) -> NoReturn:
        raise not_pickled()

    @override
    def __repr__(self) -> str:
        return f"Sync > {self._reranker!r}"


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

        return build_embedder(_single(config), self._parts)

    @override
    def reranker(self, config: LLMConfig) -> IReranker:
        from loomwire.application.embedding.chains import build_reranker

        return build_reranker(_single(config), self._parts)


def _single(config: LLMConfig) -> ClientConfig:
    return ClientConfig(name=config.name, targets=(config,), total_s=config.timeouts.total_s)
