"""The module that orders the chain of an embedder and of a reranker, and what both share with a token counter."""

from __future__ import annotations

from typing import TypeVar

from typing_extensions import override

from loomwire.application.embedding.batches import Batched
from loomwire.application.embedding.layers import Asking, Deadlined, Guarded, Limited, Located, Named, Terms
from loomwire.application.guard import OperationName
from loomwire.application.pipeline import Parts, observed_attempt, observed_call
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.errors import CapabilityError
from loomwire.domain.ports.embedding import IEmbedder, IEmbeddingFactory, IReranker
from loomwire.domain.vectors.embeddings import (
    CallResult,
    EmbedRequest,
    EmbedResponse,
    RerankRequest,
    RerankResponse,
)

Q = TypeVar("Q", bound=Terms)
A = TypeVar("A", bound=CallResult)


class EmbedderChain(IEmbedder):
    """An embedder with its layers around it."""

    __slots__ = ("_ask",)

    def __init__(self, ask: Asking[EmbedRequest, EmbedResponse]) -> None:
        """Ask `ask`."""
        self._ask = ask

    @override
    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        return await self._ask(request)

    @override
    def __repr__(self) -> str:
        return repr(self._ask)


class RerankerChain(IReranker):
    """A reranker with its layers around it."""

    __slots__ = ("_ask",)

    def __init__(self, ask: Asking[RerankRequest, RerankResponse]) -> None:
        """Ask `ask`."""
        self._ask = ask

    @override
    async def rerank(self, request: RerankRequest) -> RerankResponse:
        return await self._ask(request)

    @override
    def __repr__(self) -> str:
        return repr(self._ask)


def build_embedder(config: ClientConfig, parts: Parts) -> IEmbedder:
    """Compose the chain of a client's embedder, innermost first. Opens no connection.

    Raises:
        CapabilityError: The provider type has no embeddings.
        ConfigError: The target cannot be built; see `IEmbeddingFactory.embedder`.
    """
    # The first and no other, also once there is fallback: vectors of two models have nothing to do with each other.
    target = config.targets[0]
    factory = _factory(parts)
    leaf = factory.embedder(target)
    # Each batch is a send of its own, with a record, a step and a time limit of its own.
    sends = one_send(config.name, target, parts, Named(leaf.embed, leaf), "embeddings")
    return EmbedderChain(one_call(config, parts, Batched(sends, factory.batches(target), target.target), "embeddings"))


def build_reranker(config: ClientConfig, parts: Parts) -> IReranker:
    """Compose the chain of a client's reranker, innermost first. Opens no connection.

    Raises:
        CapabilityError: The provider type cannot rerank.
        ConfigError: The target cannot be built; see `IEmbeddingFactory.reranker`.
    """
    target = config.targets[0]
    leaf = _factory(parts).reranker(target)
    return RerankerChain(
        one_call(config, parts, one_send(config.name, target, parts, Named(leaf.rerank, leaf), "rerank"), "rerank")
    )


def one_send(client: str, config: LLMConfig, parts: Parts, leaf: Asking[Q, A], name: OperationName) -> Asking[Q, A]:
    """Return a leaf with what surrounds each of its sends: limit, record and step, and where errors are from."""
    # Nearest to the wire: the limit of one send.
    timed = Limited(leaf, timeouts=config.timeouts, clock=parts.clock)
    # Outside the limit, so that a timeout is seen as the attempt's failure.
    return Located(Guarded(timed, observed_attempt(client, config, parts), name), config)


def one_call(config: ClientConfig, parts: Parts, ask: Asking[Q, A], name: OperationName) -> Asking[Q, A]:
    """Return what surrounds the whole call: one deadline, one record."""
    # One deadline for all batches.
    chain = Deadlined(ask, total_s=config.total_s, clock=parts.clock)
    # Outermost, so that every call leaves exactly one record.
    return Guarded(chain, observed_call(config.name, parts), name)


def _factory(parts: Parts) -> IEmbeddingFactory:
    if parts.embedding is None:
        raise CapabilityError(
            "nobody here builds embedders and rerankers", hint="Give `Parts` an `IEmbeddingFactory` as `embedding`."
        )
    return parts.embedding
