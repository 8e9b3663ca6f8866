"""Caches of vectors and rankings over a real server: what is sent, who shares, what is held, what stays."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from typing_extensions import override

from loomwire import LLMContainer
from loomwire.application.caching.values.llm_cache import LLMCache
from loomwire.application.embedding.first_use import FurtherChains
from loomwire.application.pipeline import Parts
from loomwire.application.state.stats import CallStats
from loomwire.application.state.targets import TargetStates
from loomwire.domain.caching.policies import CachePolicy, DiskLevel, MemoryLevel, RedisLevel
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.domain.ports.embedding import IEmbedder, IReranker
from loomwire.domain.pricing import FREE, Usage
from loomwire.domain.values import JSON, Secret
from loomwire.domain.vectors.embeddings import EmbedRequest, RerankRequest
from loomwire.infrastructure.caching.disk.cache import DiskCache
from loomwire.infrastructure.caching.memory import MemoryCache
from loomwire.infrastructure.caching.redis_cache import RedisCache
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.providers.vectors.factory import EmbeddingFactory
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import FakeProvider
from loomwire.testing.contracts.embedding import EmbedderContract, RerankerContract
from support.folders import folder
from support.real_redis import real_redis
from support.shelves import states_over

ASK = EmbedRequest.of("one", "two", "three")
RANK = RerankRequest.of("giant panda", "A car.", "The giant panda.")


class Searching:
    """Clients over one fake provider and one place that keeps."""

    def __init__(self, provider: FakeProvider, pool: ConnectionPool, store: ICacheStrategy) -> None:
        self.provider = provider
        clock = SystemClock()
        self._parts = Parts(
            ClientFactory(pool, clock),
            clock,
            CallStats(),
            TargetStates(clock),
            (),
            EmbeddingFactory(pool, clock),
            states_over(store),
        )

    def chains(self, name: str = "search", model: str = "m", key: str = "k") -> FurtherChains:
        """Return the embedder and the reranker of a client."""
        base_url = self.provider.base_url.removesuffix("/v1")
        keys = (Secret(key),)
        target = LLMConfig(type="voyage", model=model, base_url=base_url, keys=keys, allow_private=True)
        return FurtherChains(ClientConfig(name=name, targets=(target,)), self._parts)

    @property
    def sent(self) -> list[list[str]]:
        """The texts of every request that came."""
        return [json.loads(request.body)["input"] for request in self.provider.requests]


@asynccontextmanager
async def searching(store: ICacheStrategy | None = None) -> AsyncGenerator[Searching]:
    """Start a provider, and keep."""
    pool = ConnectionPool()
    async with FakeProvider() as provider:
        yield Searching(provider, pool, store or MemoryCache())
        await pool.aclose()


class TestCachedEmbedder(EmbedderContract):
    """A chain that keeps promises what every embedder does."""

    pool: ConnectionPool

    @override
    @asynccontextmanager
    async def embedder(self) -> AsyncGenerator[IEmbedder]:
        async with searching() as all_:
            yield all_.chains().embedder()


class TestCachedReranker(RerankerContract):
    """A chain that keeps promises what every reranker does."""

    @override
    @asynccontextmanager
    async def reranker(self) -> AsyncGenerator[IReranker]:
        async with searching() as all_:
            yield all_.chains().reranker()


async def test_a_thousand_equal_calls_are_one_request_and_what_is_known_is_never_sent_again() -> None:
    async with searching() as all_:
        embedder = all_.chains().embedder()
        answers = await asyncio.gather(*(embedder.embed(ASK) for _ in range(1000)))
        assert all_.sent == [["one", "two", "three"]]
        assert len({tuple(map(tuple, answer.vectors)) for answer in answers}) == 1
        assert sum(not answer.cached for answer in answers) == 1
        partly = await embedder.embed(EmbedRequest.of("four", "two", "four", "one"))
        assert all_.sent[1:] == [["four"]]
        assert partly.vectors[1] == answers[0].vectors[1]
        known = await embedder.embed(EmbedRequest.of("four", "three"))
        assert (len(all_.sent), known.cached, known.usage, known.cost) == (2, True, Usage(), FREE)
        assert known.vectors[0] == partly.vectors[0]


async def test_tenants_models_keys_and_clients_are_kept_apart() -> None:
    async with searching() as all_:
        for chains in (all_.chains(), all_.chains("other"), all_.chains(model="n"), all_.chains(key="l")):
            assert not (await chains.embedder().embed(ASK)).cached
            assert not (await chains.embedder().embed(replace(ASK, tenant="t"))).cached
            assert not (await chains.embedder().embed(replace(ASK, tenant="u"))).cached
            assert (await chains.embedder().embed(ASK)).cached
        assert len(all_.sent) == 12


async def test_a_ranking_is_asked_for_once() -> None:
    async with searching() as all_:
        reranker = all_.chains().reranker()
        answers = await asyncio.gather(*(reranker.rerank(RANK) for _ in range(100)))
        assert len(all_.provider.requests) == 1
        assert {answer.results for answer in answers} == {(await reranker.rerank(RANK)).results}


async def test_vectors_take_no_more_memory_than_they_may() -> None:
    store = MemoryCache(MemoryLevel(size_bytes=100_000))
    async with searching(store) as all_:
        embedder = all_.chains().embedder()
        texts = tuple(f"text {number}" for number in range(2000))
        first = await embedder.embed(EmbedRequest(texts))
        size = store.statistics().size_bytes
        assert size is not None
        assert 50_000 < size <= 100_000
        assert store.statistics().evictions > 500
        again = await embedder.embed(EmbedRequest(texts))
        assert again.vectors == first.vectors


async def test_vectors_and_rankings_outlive_a_restart_on_disk(tmp_path: Path) -> None:
    place = DiskLevel(str(tmp_path / "vectors.db"))
    async with searching(disk := DiskCache(place)) as before:
        first = await before.chains().embedder().embed(ASK)
        ranked = await before.chains().reranker().rerank(RANK)
        await disk.aclose()
        pool = ConnectionPool()
        after = Searching(before.provider, pool, disk := DiskCache(place))
        again = await after.chains().embedder().embed(ASK)
        once = await after.chains().reranker().rerank(RANK)
        assert (len(before.provider.requests), again.cached, once.cached) == (2, True, True)
        assert (again.vectors, again.model, once.results) == (first.vectors, first.model, ranked.results)
        assert (again.steps[0].target, again.steps[0].outcome) == ("disk", "hit")
        await disk.aclose()
        await pool.aclose()


@pytest.fixture
def redis() -> Iterator[RedisLevel]:
    """Run a Redis server."""
    with real_redis() as server:
        yield RedisLevel(Secret(server.url), timeout_s=5.0)


@pytest.mark.full
async def test_vectors_are_shared_by_processes_over_redis(redis: RedisLevel) -> None:
    async with searching(one := RedisCache(redis)) as all_:
        pool, other = ConnectionPool(), RedisCache(redis)
        elsewhere = Searching(all_.provider, pool, other).chains().embedder()
        first = await all_.chains().embedder().embed(ASK)
        again = await elsewhere.embed(EmbedRequest.of("three", "one"))
        assert (len(all_.provider.requests), again.cached) == (1, True)
        assert again.vectors == (first.vectors[2], first.vectors[0])
        await one.aclose()
        await other.aclose()
        await pool.aclose()


async def test_a_hosts_values_outlive_a_restart_on_disk(tmp_path: Path) -> None:
    place = DiskLevel(str(tmp_path / "host.db"))
    for number in (1, 2):
        disk = DiskCache(place)
        cache = LLMCache(states_over(disk), CachePolicy)

        async def search(found: int = number) -> int:
            return found

        assert await cache.remember("passages", "what is a panda", fetch=search, tenant="t") == 1
        await disk.aclose()


async def test_a_container_keeps_what_its_clients_embed_and_what_its_host_finds(tmp_path: Path) -> None:
    asked = 0

    async def search() -> list[str]:
        nonlocal asked
        asked += 1
        return ["The panda is a bear."]

    async with FakeProvider() as provider:
        base_url = provider.base_url.removesuffix("/v1")
        never: dict[str, JSON] = {"models": ["vectors"], "cache": {"mode": "off"}}

        def written(**clients: JSON) -> Path:
            return folder(
                tmp_path,
                providers={"voyage": {"type": "voyage", "base_url": base_url, "keys": ["k"], "allow_private": True}},
                models={"vectors": {"provider": "voyage", "model": "voyage-4"}},
                clients={"search": {"models": ["vectors"]}, **clients},
            )

        where = written(never=never)
        async with LLMContainer.aopen(where, watch=False) as container:
            for _ in range(3):
                await container.embedder("search").embed(ASK)
                await container.embedder("never").embed(ASK)
                assert await container.cache.remember("passages", "panda", fetch=search) == ["The panda is a bear."]
            assert (len(provider.requests), asked) == (4, 1)
            written(never=never, more={"models": ["vectors"]})
            assert (await container.areload()).outcome == "adopted"
            await container.cache.remember("passages", "panda", fetch=search)
            assert (await container.embedder("search").embed(ASK)).cached
            report = container.cache_statistics()
            assert (report.clients["search"].hits, report.levels[0].entries, asked) == (3, 4, 1)
            await container.cache.clear("passages")
            await container.cache.remember("passages", "panda", fetch=search)
            assert asked == 2
