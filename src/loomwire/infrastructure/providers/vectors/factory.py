"""Builds embedders and rerankers from the provider table."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias, final

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, ConfigError
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.embedding import BatchPolicy, IEmbedder, IEmbeddingFactory, IReranker
from loomwire.domain.ports.pool import IConnectionPool
from loomwire.infrastructure.local.refusals import unknown
from loomwire.infrastructure.local.server import LocalLease, LocalServers
from loomwire.infrastructure.providers.placing import Endpoints, check_key, checked_place, placed
from loomwire.infrastructure.providers.rows.kinds import Also, ProviderType
from loomwire.infrastructure.providers.table import PROVIDERS
from loomwire.infrastructure.recordings.pools import Replays

if TYPE_CHECKING:
    from loomwire.infrastructure.local.engine import Engine
    from loomwire.infrastructure.providers.embeddings.columns import Embeds, Place, Reranks
    from loomwire.infrastructure.providers.embeddings.dialect import EmbedDialect
    from loomwire.infrastructure.providers.rerank.dialect import RerankDialect

_Column: TypeAlias = Literal["embeds", "reranks"]
_CANNOT: Mapping[_Column, str] = {"embeds": "has no embeddings", "reranks": "cannot rerank"}


@final
class EmbeddingFactory(IEmbeddingFactory):
    """Builds embedders and rerankers for one model. Dialects, and the network, are imported when one needs them first.

    Args:
        pool: Shared by all.
        clock: The time.
        providers: The rows; further ones may be added by the host.
        servers: Model servers in this process. Whoever made them closes them.
    """

    __slots__ = ("_clock", "_endpoints", "_pool", "_providers", "_replays", "_servers")

    def __init__(
        self,
        pool: IConnectionPool,
        clock: IClock,
        providers: Mapping[str, ProviderType] = PROVIDERS,
        servers: LocalServers | None = None,
    ) -> None:
        """Build nothing yet."""
        self._endpoints = Endpoints()
        self._pool = pool
        self._clock = clock
        self._providers = providers
        self._servers = servers or LocalServers()
        self._replays = Replays(clock)

    @override
    def embedder(self, config: LLMConfig) -> IEmbedder:
        row = self._row(config)
        embeds, spoken = _embeds(config, row)
        if embeds is None:
            raise self._cannot(config, "embeds")
        if row.in_process and config.replay is None:
            return self._served_embedder(config, row, embeds)
        target, pool, endpoint = self._carried(config, row, spoken)
        from loomwire.infrastructure.providers.embeddings.client import WireEmbedder

        return WireEmbedder(target, embed_dialect(embeds), pool, self._clock, spoken.auth or row.auth, endpoint)

    @override
    def reranker(self, config: LLMConfig) -> IReranker:
        row = self._row(config)
        if row.reranks is None:
            raise self._cannot(config, "reranks")
        if row.in_process and config.replay is None:
            return self._served_reranker(config, row, row.reranks)
        spoken = _at(row, row.reranks.place)
        target, pool, endpoint = self._carried(config, row, spoken)
        from loomwire.infrastructure.providers.rerank.client import WireReranker

        return WireReranker(target, rerank_dialect(row.reranks), pool, self._clock, spoken.auth or row.auth, endpoint)

    @override
    def batches(self, config: LLMConfig) -> BatchPolicy:
        embeds, _ = _embeds(config, self._row(config))
        return BatchPolicy() if embeds is None else embeds.batch

    @override
    def places(self, config: LLMConfig) -> tuple[LLMConfig, ...]:
        row = self._providers.get(config.type)
        if row is None or row.in_process:
            return ()
        embeds, spoken = _embeds(config, row)
        asked = [spoken] if embeds is not None else []
        asked += [_at(row, row.reranks.place)] if row.reranks is not None else []
        if row.client is not None and asked:
            # No chat client of it imports the network, and what is asked first may be asked on an event loop.
            importlib.import_module("loomwire.infrastructure.transport.pool")
        found = []
        for each in asked:
            with suppress(ConfigError):
                found.append(_kept(placed(config, row, each), row))
        return tuple(dict.fromkeys(found))

    def _served_embedder(self, config: LLMConfig, row: ProviderType, embeds: Embeds) -> IEmbedder:
        from loomwire.infrastructure.providers.embeddings.client import WireEmbedder
        from loomwire.infrastructure.providers.vectors.local import LocalEmbedder, Served

        def wired(engine: Engine) -> IEmbedder:
            target, endpoint = _on(engine, config, row)
            return WireEmbedder(target, dialect, self._pool, self._clock, endpoint=endpoint)

        dialect = embed_dialect(embeds)
        return LocalEmbedder(Served(config, self._lease(config, "vectors"), self._clock, wired))

    def _served_reranker(self, config: LLMConfig, row: ProviderType, reranks: Reranks) -> IReranker:
        from loomwire.infrastructure.providers.rerank.client import WireReranker
        from loomwire.infrastructure.providers.vectors.local import LocalReranker, Served

        def wired(engine: Engine) -> IReranker:
            target, endpoint = _on(engine, config, row)
            return WireReranker(target, dialect, self._pool, self._clock, endpoint=endpoint)

        dialect = rerank_dialect(reranks)
        return LocalReranker(Served(config, self._lease(config, "ranks"), self._clock, wired))

    def _lease(self, config: LLMConfig, serves: Literal["vectors", "ranks"]) -> LocalLease:
        from loomwire.infrastructure.local.settings import local_settings

        # The chat client looked at the file; this one may be built on an event loop, where nobody reads files.
        importlib.import_module("loomwire.infrastructure.transport.pool")
        return self._servers.lease(replace(local_settings(config), serves=serves))

    def _carried(self, config: LLMConfig, row: ProviderType, spoken: Also) -> tuple[LLMConfig, IConnectionPool, str]:
        check_key(config, row, spoken)
        target = _kept(placed(config, row, spoken), row)
        endpoint = checked_place(target, self._endpoints)
        # At build time: the first call would otherwise stop the loop for the import of aiohttp.
        importlib.import_module("loomwire.infrastructure.transport.pool")
        pool = self._pool if config.replay is None else self._replays.deferred(config.replay, config.recorded)
        return replace(target, free=config.free or row.free), pool, endpoint

    def _row(self, config: LLMConfig) -> ProviderType:
        row = self._providers.get(config.type)
        if row is None:
            raise unknown(f"provider {config.name!r} has the unknown type", config.type, self._providers, key=("type",))
        return row

    def _cannot(self, config: LLMConfig, column: _Column) -> CapabilityError:
        # Ours alone: to know what others installed, somebody would have to read files, perhaps on an event loop.
        able = [row.name for row in PROVIDERS.values() if getattr(row, column) is not None]
        what = "embed" if column == "embeds" else "rerank"
        return CapabilityError(
            f"type {config.type} {_CANNOT[column]}",
            provider=config.name,
            model=config.model,
            hint=f"Types that {what}: {', '.join(able)}.",
        )


def _embeds(config: LLMConfig, row: ProviderType) -> tuple[Embeds | None, Also]:
    """Return how and where a target embeds: over the OpenAI dialect too, where the configuration chose that."""
    embeds = row.embeds
    if embeds is None:
        return None, _at(row, None)
    chosen = next((also for also in row.also if also.dialect == config.dialect == "openai_chat"), None)
    if chosen is None or embeds.dialect == "openai":
        return embeds, _at(row, embeds.place)
    from loomwire.infrastructure.providers.embeddings.columns import OVER_OPENAI

    return replace(OVER_OPENAI, batch=embeds.batch), replace(
        chosen, base_url=chosen.base_url or row.base_url, auth=chosen.auth or row.auth
    )


def _on(engine: Engine, config: LLMConfig, row: ProviderType) -> tuple[LLMConfig, str]:
    own = replace(config, base_url=engine.base_url, keys=(engine.key,), allow_private=True, free=True)
    return _kept(own, row), engine.base_url.removesuffix("/v1")


def _at(row: ProviderType, place: Place | None) -> Also:
    base_url = row.base_url if place is None or place.base_url is None else place.base_url
    path = row.path if place is None or place.path is None else place.path
    return Also(dialect="", base_url=base_url, path=path, auth=row.auth)


def _kept(config: LLMConfig, row: ProviderType) -> LLMConfig:
    return config if row.keepalive else replace(config, pool=replace(config.pool, keepalive=0))


def embed_dialect(embeds: Embeds) -> EmbedDialect:
    """Return the dialect that a column names, imported when it is needed first.

    Raises:
        UnknownNameError: There is no such dialect, and the name is no `module:Class`.
    """
    from loomwire.infrastructure.providers.embeddings.columns import EMBED_DIALECTS

    module, name = _place_of(embeds.dialect, EMBED_DIALECTS)
    maker: Callable[[Embeds], EmbedDialect] = getattr(importlib.import_module(module), name)
    return maker(embeds)


def rerank_dialect(reranks: Reranks) -> RerankDialect:
    """Return the dialect that a column names, imported when it is needed first.

    Raises:
        UnknownNameError: There is no such dialect, and the name is no `module:Class`.
    """
    from loomwire.infrastructure.providers.embeddings.columns import RERANK_DIALECTS

    module, name = _place_of(reranks.dialect, RERANK_DIALECTS)
    maker: Callable[[], RerankDialect] = getattr(importlib.import_module(module), name)
    return maker()


def _place_of(dialect: str, known: Mapping[str, str]) -> tuple[str, str]:
    module, found, name = known.get(dialect, dialect).partition(":")
    if not found:
        raise unknown("there is no dialect", dialect, known)
    return module, name
