"""Embedders and rerankers as hosts have them: by name, from YAML, following edits."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from loomwire import LLMConfig, LLMContainer, LLMRequest
from loomwire.application.handles.vectors import SyncEmbedder, SyncReranker
from loomwire.container.process import process_container
from loomwire.domain.errors import (
    CapabilityError,
    ClientRemovedError,
    LLMRateLimitError,
    LLMValidationError,
    UnknownNameError,
)
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.ports.embedding import IEmbedder, IEmbeddingFactory, IReranker
from loomwire.domain.pricing import Cost
from loomwire.domain.values import JSON, Secret
from loomwire.domain.vectors.embeddings import EmbedRequest, RerankRequest
from loomwire.testing import Failure, FakeProvider, HttpReply, Recorder, RecordingSink, Reply, hashed_vector
from support.folders import folder

ASK = EmbedRequest.of("one", "two", purpose="document")
RANK = RerankRequest.of("giant panda", "A car.", "The giant panda.", top_n=1)


def search(where: Path, base_url: str, model: str = "voyage-3.5", *names: str) -> Path:
    """Write a configuration whose clients embed over Voyage's API."""
    provider: dict[str, JSON] = {
        "type": "voyage",
        "base_url": base_url,
        "api_key": "test-key",
        "allow_private": True,
    }
    prices: Mapping[str, JSON] = {"input_usd_per_mtok": 2, "output_usd_per_mtok": 0}
    return folder(
        where,
        providers={"voyage": provider},
        models={"vectors": {"provider": "voyage", "model": model, "prices": prices}},
        clients={name: {"models": ["vectors"]} for name in names or ("search",)},
    )


def opened(path: Path) -> AbstractAsyncContextManager[LLMContainer]:
    """Return a container that follows no edits by itself."""
    return LLMContainer.aopen(path, watch=False)


async def test_a_client_is_resolved_as_embedder_and_reranker(tmp_path: Path) -> None:
    sink = RecordingSink()
    async with FakeProvider() as provider:
        path = search(tmp_path, provider.base_url)
        async with LLMContainer.aopen(path, overrides={"event_sink": sink}) as container:
            embedder = container.resolve(IEmbedder, "search")
            answer = await embedder.embed(ASK)
            assert list(answer.vectors[1]) == list(hashed_vector("two"))
            assert isinstance(answer.cost, Cost)
            assert answer.cost.micro_usd == 2 * answer.usage.input_tokens
            assert answer.request_id == "req-000000000001"
            ranks = await container.resolve(IReranker).rerank(RANK)
            assert [rank.index for rank in ranks.results] == [1]
            assert [record.operation for record in sink.records] == ["embeddings", "embeddings", "rerank", "rerank"]
            assert container.health().clients["search"].answered == 2
            sent = provider.requests[0].json
            assert isinstance(sent, dict)
            assert (sent["input_type"], sent["truncation"], sent["model"]) == ("document", False, "voyage-3.5")
            with pytest.raises(CapabilityError, match="type voyage has no chat"):
                await container.resolve(ILLMClient, "search").generate(LLMRequest.of("Hi"))


async def test_an_edit_is_followed_and_a_removed_client_says_so(tmp_path: Path) -> None:
    async with FakeProvider() as provider, opened(search(tmp_path, provider.base_url)) as container:
        embedder, reranker = container.embedder("search"), container.reranker("search")
        assert (await embedder.embed(ASK)).model == "voyage-3.5"
        await asyncio.to_thread(search, tmp_path, provider.base_url, "voyage-4")
        await container.areload()
        assert (await embedder.embed(ASK)).model == "voyage-4"
        assert (await reranker.rerank(RANK)).model == "voyage-4"
        await asyncio.to_thread(search, tmp_path, provider.base_url, "voyage-4", "other")
        await container.areload()
        with pytest.raises(ClientRemovedError):
            await embedder.embed(ASK)
        with pytest.raises(ClientRemovedError):
            await reranker.rerank(RANK)


async def test_a_type_without_embeddings_says_which_have_them(tmp_path: Path) -> None:
    path = await asyncio.to_thread(folder, tmp_path)
    async with LLMContainer.aopen(path, watch=False) as container:
        with pytest.raises(CapabilityError, match="type mock has no embeddings") as caught:
            container.resolve(IEmbedder, "planner")
        assert "openai" in caught.value.hint
        with pytest.raises(CapabilityError, match="type mock cannot rerank") as caught:
            container.resolve(IReranker, "planner")
        assert "voyage" in caught.value.hint
        for resolve in (container.embedder, container.reranker, container.sync_embedder, container.sync_reranker):
            with pytest.raises(UnknownNameError, match="no client named 'search'"):
                resolve("search")


def test_a_missing_key_is_found_when_the_configuration_is_read(tmp_path: Path) -> None:
    path = search(tmp_path, "http://127.0.0.1:9/v1")
    file = path / "loomwire.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace('"api_key": "test-key",', ""), encoding="utf-8")
    with pytest.raises(Exception, match="needs an API key"), LLMContainer.open(path, watch=False):
        pass


async def test_blocking_twins_ask_the_same_server(tmp_path: Path) -> None:
    async with FakeProvider() as provider:
        path = await asyncio.to_thread(search, tmp_path, provider.base_url)

        def ask() -> tuple[int, int]:
            with LLMContainer.open(path, watch=False) as container:
                vectors = container.resolve(SyncEmbedder, "search").embed(ASK).vectors
                return len(vectors), len(container.resolve(SyncReranker, "search").rerank(RANK).results)

        assert await asyncio.to_thread(ask) == (2, 1)


async def test_a_pinned_run_stays_on_its_model(tmp_path: Path) -> None:
    async with FakeProvider() as provider, opened(search(tmp_path, provider.base_url)) as container:
        with container.pinned() as run:
            await asyncio.to_thread(search, tmp_path, provider.base_url, "voyage-4")
            await container.areload()
            assert (await run.embedder("search").embed(ASK)).model == "voyage-3.5"
            assert (await container.embedder("search").embed(ASK)).model == "voyage-4"


async def test_an_embedder_is_pickled_as_its_root_and_name(tmp_path: Path) -> None:
    async with FakeProvider() as provider:
        path = await asyncio.to_thread(search, tmp_path, provider.base_url)
        container = await asyncio.to_thread(process_container, path)
        again: IEmbedder = await asyncio.to_thread(pickle.loads, pickle.dumps(container.embedder("search")))
        assert len((await again.embed(ASK)).vectors) == 2
        await container.aclose()


async def test_a_host_builds_embedders_by_hand(tmp_path: Path) -> None:
    async with FakeProvider() as provider:
        config = LLMConfig.openai("m", api_key="k", base_url=provider.base_url, allow_private=True)
        async with LLMContainer.aopen(await asyncio.to_thread(folder, tmp_path), watch=False) as container:
            factory = container.resolve(IEmbeddingFactory)
            embedder = await asyncio.to_thread(factory.embedder, config)
            assert (await embedder.embed(ASK)).dimensions == 64


async def test_a_failure_carries_the_providers_words_and_never_the_text_or_the_key() -> None:
    text = "this text is long enough to be quoted by a server"
    refusal = HttpReply(400, {"error": {"message": f"Bad input: {text}", "type": "invalid_request_error"}})
    async with FakeProvider(refusal, refusal, Reply(failure=Failure("throttled", retry_after=61))) as provider:
        config = LLMConfig.of("voyage", "m", api_key="secret-key", base_url=provider.base_url, allow_private=True)
        container = await asyncio.to_thread(LLMContainer.of, {"search": config})
        with pytest.raises(LLMValidationError) as caught:
            await container.embedder("search").embed(EmbedRequest.of(text))
        assert caught.value.provider_message == "Bad input: [prompt]"
        assert "secret-key" not in str(caught.value.to_dict())
        with pytest.raises(LLMValidationError) as caught:
            await container.reranker("search").rerank(RerankRequest.of("x", text))
        assert text not in str(caught.value.to_dict())
        with pytest.raises(LLMRateLimitError) as limited:
            await container.reranker("search").rerank(RANK)
        # Longer than anybody waits for the same key.
        assert limited.value.retry_after == 61
        assert limited.value.endpoint == provider.base_url.removesuffix("/v1")
        await container.aclose()


async def test_recordings_answer_in_place_of_the_provider(tmp_path: Path) -> None:
    async with FakeProvider() as provider:
        config = LLMConfig.openai("m", api_key="k", base_url=provider.base_url, allow_private=True)
        recorder = Recorder(tmp_path / "recorded", "record")
        container = await asyncio.to_thread(
            LLMContainer.of, {"search": config}, overrides={"connection_pool": recorder}
        )
        live = await container.embedder("search").embed(ASK)
        await container.aclose()
    played = LLMConfig.openai(
        "m", base_url=config.base_url or "", replay=str(tmp_path / "recorded"), allow_private=True
    )
    container = await asyncio.to_thread(LLMContainer.of, {"search": played})
    replayed = await container.embedder("search").embed(ASK)
    assert [list(vector) for vector in replayed.vectors] == [list(vector) for vector in live.vectors]
    await container.aclose()


def test_connections_of_every_place_a_client_asks_are_known_to_its_generation() -> None:
    config = LLMConfig(type="cohere", model="m", dialect="openai_chat", keys=(Secret("k"),))
    with LLMContainer.of({"search": config}) as container:
        places = container.wiring.registry().generation.entry("search").places
        assert {base_url for base_url, _ in places} == {
            "https://api.cohere.ai/compatibility/v1",
            "https://api.cohere.com/v2",
        }
