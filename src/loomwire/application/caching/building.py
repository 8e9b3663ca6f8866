"""What a client's cache works with, from its configuration. Called at build time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from loomwire.application.caching.keys import RequestKeys
from loomwire.application.caching.storable import equals_of
from loomwire.application.caching.terms import Keeping, SimilarAnswers
from loomwire.domain.caching.policies import NO_CACHE
from loomwire.domain.config import ClientConfig, LLMConfig

if TYPE_CHECKING:
    from loomwire.application.pipeline import Parts
    from loomwire.application.state.caches import CacheStates
    from loomwire.domain.ports.embedding import IEmbedder


def keeping_of(config: ClientConfig, caches: CacheStates, parts: Parts) -> Keeping:
    """Return what the cache of a client works with. Opens no file and no connection.

    Args:
        config: The client; it keeps something.
        caches: The levels, and what is known of them.
        parts: What chains are made from.

    Raises:
        ConfigError: A package that its semantic cache needs is not installed.
    """
    keys = RequestKeys(config)
    return Keeping(
        policy=config.cache,
        keys=keys,
        store=caches.stores.store(config.cache.levels),
        flights=caches.flights,
        tally=caches.tally(config.name),
        clock=parts.clock,
        total_s=config.total_s,
        equals=equals_of(config),
        last_resort=config.on_exhausted.mode == "stale_cache",
        draw=parts.draw,
        similar=_similar(config, keys, caches, parts),
    )


def _similar(config: ClientConfig, keys: RequestKeys, caches: CacheStates, parts: Parts) -> SimilarAnswers | None:
    if config.cache.semantic is None or config.embedder is None:
        return None
    # Few clients compare questions, and what does takes a while to import.
    from loomwire.application.caching.semantic.answers import semantic_answers

    return semantic_answers(
        config,
        keys=keys,
        memories=caches.memories,
        embedder=_embedder(config, config.embedder, parts),
        clock=parts.clock,
    )


def _embedder(config: ClientConfig, model: LLMConfig, parts: Parts) -> Callable[[], IEmbedder]:
    def built() -> IEmbedder:
        from loomwire.application.embedding.chains import build_embedder

        # Counted as a client of its own, which no configuration can call so; a question is embedded once anyway.
        return build_embedder(ClientConfig(name=f"{config.name} (semantic)", targets=(model,), cache=NO_CACHE), parts)

    return built
