"""The module that orders the chain of an embedder and of a reranker, and what both share with a token counter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from typing_extensions import override

from loomwire.application.embedding.admitted import Admitted
from loomwire.application.embedding.batches import Batched
from loomwire.application.embedding.keys import Keys, Rotated
from loomwire.application.embedding.layers import Asking, Deadlined, Guarded, Limited, Located, Named, Terms
from loomwire.application.embedding.retried import Retried
from loomwire.application.guard import OperationName
from loomwire.application.pipeline import (
    Parts,
    breaker_of,
    limits_of,
    observed_attempt,
    observed_call,
    retries_of,
)
from loomwire.application.selection.options import Option, options_of
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.errors import CapabilityError
from loomwire.domain.estimates.tokens import text_bytes, tokens_of
from loomwire.domain.ports.embedding import IEmbedder, IEmbeddingFactory, IReranker
from loomwire.domain.vectors.embeddings import (
    CallResult,
    EmbedRequest,
    EmbedResponse,
    RerankRequest,
    RerankResponse,
)

if TYPE_CHECKING:
    from loomwire.application.embedding.shelf import Shelf

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
    factory = _factory(parts)

    def leaf_of(target: LLMConfig) -> Named[EmbedRequest, EmbedResponse]:
        leaf = factory.embedder(target)
        return Named(leaf.embed, leaf)

    # Each batch is sent by itself, with attempts, records, steps and time limits of its own.
    sends = rotated(config, parts, leaf_of, "embeddings", _texts)
    target = config.targets[0]
    chain: Asking[EmbedRequest, EmbedResponse] = Batched(sends, factory.batches(target), target.target)
    shelf = _kept(config, parts)
    if shelf is not None:
        from loomwire.application.embedding.cached import CachedEmbedder

        # Above the batches, so that only texts that nobody knows are sent; inside the deadline, as every wait is.
        cached = CachedEmbedder(EmbedderChain(chain), shelf)
        chain = Named(cached.embed, cached)
    return EmbedderChain(one_call(config, parts, chain, "embeddings"))


def build_reranker(config: ClientConfig, parts: Parts) -> IReranker:
    """Compose the chain of a client's reranker, innermost first. Opens no connection.

    Raises:
        CapabilityError: The provider type cannot rerank.
        ConfigError: The target cannot be built; see `IEmbeddingFactory.reranker`.
    """
    factory = _factory(parts)

    def leaf_of(target: LLMConfig) -> Named[RerankRequest, RerankResponse]:
        leaf = factory.reranker(target)
        return Named(leaf.rerank, leaf)

    chain = rotated(config, parts, leaf_of, "rerank", _documents)
    shelf = _kept(config, parts)
    if shelf is not None:
        from loomwire.application.embedding.cached_ranking import CachedReranker

        cached = CachedReranker(RerankerChain(chain), shelf)
        chain = Named(cached.rerank, cached)
    return RerankerChain(one_call(config, parts, chain, "rerank"))


def rotated(
    config: ClientConfig,
    parts: Parts,
    leaf_of: Callable[[LLMConfig], Asking[Q, A]],
    name: OperationName,
    size: Callable[[Q], int] | None = None,
) -> Asking[Q, A]:
    """Return what sends to the first model of a client, with whichever of its keys is well.

    Args:
        config: The client.
        parts: What the chain is made from.
        leaf_of: Makes the leaf of the model with one key.
        name: What is done.
        size: Returns the estimated tokens of a request; None for what providers limit apart from the
            model's other calls: the limits of those are not charged, and it does not slow them down.
    """
    # The first and no other, also where the chat falls back: vectors of two models have nothing to do with each other.
    single = replace(config, targets=config.targets[:1], weights=())
    options = options_of(single, parts.states)
    keys = Keys(
        name=config.name,
        options=options,
        balance=config.balance,
        clock=parts.clock,
        draw=parts.draw,
        own_pace=size is None,
    )
    chains = [_one_send(config.name, one, parts, leaf_of(one.config), name, size) for one in options]
    return Rotated(chains, keys)


def _one_send(
    client: str,
    option: Option,
    parts: Parts,
    leaf: Asking[Q, A],
    name: OperationName,
    size: Callable[[Q], int] | None,
) -> Asking[Q, A]:
    """Return a leaf with what surrounds each of its sends, in the order of the client's own pipeline."""
    config = option.config
    # Nearest to the wire: the limit of one send.
    chain: Asking[Q, A] = Limited(leaf, timeouts=config.timeouts, clock=parts.clock)
    # Outside the limit, so that a timeout is seen as the attempt's failure.
    chain = Guarded(chain, observed_attempt(client, config, parts), name)
    # Inside retry, so that it counts real sends; the target's one circuit, whatever it is asked to do.
    chain = Guarded(chain, breaker_of(option), name)
    # Outside the breaker, so that nobody waits with a permit in hand; the lanes of the chat, which has the same limits.
    for limit in limits_of(option, parts, 0) if size is not None else ():
        chain = Guarded(chain, limit, name, size)
    # The only retry there is.
    chain = Retried(chain, retries_of(config, parts))
    return Located(chain, config)


def one_call(config: ClientConfig, parts: Parts, ask: Asking[Q, A], name: OperationName) -> Asking[Q, A]:
    """Return what surrounds the whole call: one deadline, the gate, one record."""
    # One deadline for all batches.
    chain: Asking[Q, A] = Deadlined(ask, total_s=config.total_s, clock=parts.clock)
    # Before anything is done for it, which would take memory.
    chain = Admitted(chain, parts.gate)
    # Outermost, so that every call leaves exactly one record.
    return Guarded(chain, observed_call(config.name, parts), name)


def _kept(config: ClientConfig, parts: Parts) -> Shelf | None:
    if parts.caches is None or config.cache.is_off:
        return None
    # What keeps and shares is imported where something is kept.
    from loomwire.application.embedding.shelf import shelf_of

    return shelf_of(config, parts.caches, parts)


def _texts(request: EmbedRequest) -> int:
    return tokens_of(sum(map(text_bytes, request.texts)))


def _documents(request: RerankRequest) -> int:
    # A reranker reads the query again with every document.
    query = text_bytes(request.query) * len(request.documents)
    return tokens_of(query + sum(map(text_bytes, request.documents)))


def _factory(parts: Parts) -> IEmbeddingFactory:
    if parts.embedding is None:
        raise CapabilityError(
            "nobody here builds embedders and rerankers", hint="Give `Parts` an `IEmbeddingFactory` as `embedding`."
        )
    return parts.embedding
