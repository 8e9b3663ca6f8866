"""Everything that embeds or reranks keeps its contract: the fakes, and every row of the table as a whole chain."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from typing_extensions import override

from loomwire.application.embedding.first_use import FurtherChains
from loomwire.application.pipeline import Parts
from loomwire.application.state.stats import CallStats
from loomwire.application.state.targets import TargetStates
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.errors import CapabilityError
from loomwire.domain.ports.embedding import IEmbedder, IReranker
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import Secret
from loomwire.infrastructure.providers.embeddings.columns import EMBED_DIALECTS, EMBEDS, RERANK_DIALECTS, RERANKS
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.providers.table import PROVIDERS
from loomwire.infrastructure.providers.vectors.factory import EmbeddingFactory
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import FakeProvider, HashEmbedder, WordReranker
from loomwire.testing.contracts.embedding import EmbedderContract, RerankerContract

ELSEWHERE = {"local"}
"""Proved in tests/llama, against llama.cpp itself."""

EMBEDDING = [name for name in EMBEDS if name not in ELSEWHERE]


def over(name: str, base_url: str) -> LLMConfig:
    """Return a target of a row whose vendor listens at `base_url`."""
    key = (Secret("table-key"),)
    dialect = None if PROVIDERS[name].dialect or PROVIDERS[name].client else "openai_chat"
    return LLMConfig(type=name, model="m", dialect=dialect, base_url=base_url, keys=key, allow_private=True)


@pytest.mark.parametrize("name", [*EMBEDS, *RERANKS.keys() - EMBEDS.keys()])
def test_a_row_that_embeds_or_reranks_is_a_row_of_the_table(name: str) -> None:
    row = PROVIDERS[name]
    assert (row.embeds, row.reranks) == (EMBEDS.get(name), RERANKS.get(name))
    if row.embeds is not None:
        assert row.embeds.dialect in EMBED_DIALECTS
        assert row.embeds.batch.texts >= 1
        assert row.embeds.batch.at_once >= 1
    assert row.reranks is None or row.reranks.dialect in RERANK_DIALECTS


async def test_a_vendor_without_a_chat_says_so() -> None:
    config = LLMConfig.of("voyage", "voyage-3.5", api_key="k")
    client = ClientFactory(ConnectionPool(), SystemClock()).create(config)
    with pytest.raises(CapabilityError, match="type voyage has no chat") as caught:
        await client.generate(LLMRequest.of("Hi"))
    assert (caught.value.provider, caught.value.model) == ("voyage", "voyage-3.5")
    with pytest.raises(CapabilityError):
        client.stream(LLMRequest.of("Hi"))
    assert re.fullmatch(r"Chatless\(voyage/voyage-3\.5\)", repr(client))


class TestHashEmbedder(EmbedderContract):
    """The fake that tests use keeps the contract it stands in for."""

    @override
    @asynccontextmanager
    async def embedder(self) -> AsyncGenerator[IEmbedder]:
        yield HashEmbedder()


class TestWordReranker(RerankerContract):
    """The fake that tests use keeps the contract it stands in for."""

    @override
    @asynccontextmanager
    async def reranker(self) -> AsyncGenerator[IReranker]:
        yield WordReranker()


class EmbeddingRow(EmbedderContract):
    """The whole chain of a vendor's row over a server on this machine."""

    name: str
    pool: ConnectionPool

    @override
    @asynccontextmanager
    async def embedder(self) -> AsyncGenerator[IEmbedder]:
        self.pool = ConnectionPool()
        async with FakeProvider() as provider:
            yield chains(self.name, provider, self.pool).embedder()
            await self.pool.aclose()

    @override
    def in_use(self, embedder: IEmbedder) -> int:
        return self.pool.get_stats().active


class TestEveryRowThatEmbeds(EmbeddingRow):
    @pytest.fixture(autouse=True, params=[name for name in EMBEDDING if EMBEDS[name].dimensions])
    def row(self, request: pytest.FixtureRequest) -> None:
        """Take one row."""
        self.name = str(request.param)


class TestEveryRowThatEmbedsInOneSize(EmbeddingRow):
    knows_dimensions = False

    @pytest.fixture(autouse=True, params=[name for name in EMBEDDING if not EMBEDS[name].dimensions])
    def row(self, request: pytest.FixtureRequest) -> None:
        """Take one row."""
        self.name = str(request.param)


class TestEveryRowThatReranks(RerankerContract):
    """The whole chain of a vendor's row over a server on this machine."""

    name: str
    pool: ConnectionPool

    @pytest.fixture(autouse=True, params=[name for name in RERANKS if name not in ELSEWHERE])
    def row(self, request: pytest.FixtureRequest) -> None:
        """Take one row."""
        self.name = str(request.param)

    @override
    @asynccontextmanager
    async def reranker(self) -> AsyncGenerator[IReranker]:
        self.pool = ConnectionPool()
        async with FakeProvider() as provider:
            yield chains(self.name, provider, self.pool).reranker()
            await self.pool.aclose()

    @override
    def in_use(self, reranker: IReranker) -> int:
        return self.pool.get_stats().active


def chains(name: str, provider: FakeProvider, pool: ConnectionPool) -> FurtherChains:
    """Return the chains of a row over a server."""
    clock = SystemClock()
    parts = Parts(
        ClientFactory(pool, clock), clock, CallStats(), TargetStates(clock), (), EmbeddingFactory(pool, clock)
    )
    base_url = provider.base_url if name == "custom" else provider.base_url.removesuffix("/v1")
    return FurtherChains(ClientConfig(name="search", targets=(over(name, base_url),)), parts)
