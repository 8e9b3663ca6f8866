"""What a container hands out, and what the front door's values are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_type

from loomwire import (
    Cost,
    Finished,
    ILLMClient,
    ILLMClientFactory,
    LLMConfig,
    LLMContainer,
    LLMRequest,
    LLMResponse,
    Message,
    ReasoningDelta,
    SyncLLMClient,
    TextDelta,
    ToolCallEnd,
    Unpriced,
)
from loomwire.application.handles.counting import SyncTokenCounter
from loomwire.application.handles.vectors import SyncEmbedder
from loomwire.domain.counting.counts import TokenCount
from loomwire.domain.ports.counting import ITokenCounter
from loomwire.domain.ports.embedding import IEmbedder, IEmbeddingFactory, IReranker
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse, Ranked, RerankRequest, RerankResponse


async def clients(container: LLMContainer) -> None:
    assert_type(container.resolve(ILLMClient, "planner"), ILLMClient)
    assert_type(container.resolve(ILLMClient), ILLMClient)
    assert_type(container.resolve(ILLMClientFactory), ILLMClientFactory)
    assert_type(container.resolve(SyncLLMClient, "planner"), SyncLLMClient)
    assert_type(container.llm_client("planner"), ILLMClient)
    assert_type(container.sync_client("planner"), SyncLLMClient)


async def opening() -> None:
    async with LLMContainer.aopen("config") as container:
        assert_type(container, LLMContainer)
    with LLMContainer.open("config") as container:
        assert_type(container, LLMContainer)


async def answers(planner: ILLMClient) -> None:
    answer = await planner.generate(LLMRequest.of("Plan a trip", Message.user("to Rome")))
    assert_type(answer, LLMResponse[str])
    assert_type(answer.output, str)
    assert_type(answer.cost, Cost | Unpriced)


async def streams(planner: ILLMClient) -> str:
    text = ""
    async with planner.stream(LLMRequest.of("Tell it")) as stream:
        async for event in stream:
            if isinstance(event, TextDelta | ReasoningDelta):
                text += event.text
            elif isinstance(event, ToolCallEnd):
                assert_type(event.call.name, str)
            elif isinstance(event, Finished):
                assert_type(stream.response, LLMResponse[str])
    return text


async def vectors(container: LLMContainer) -> None:
    embedder = container.resolve(IEmbedder, "search")
    assert_type(embedder, IEmbedder)
    assert_type(container.embedder("search"), IEmbedder)
    assert_type(container.resolve(IEmbeddingFactory), IEmbeddingFactory)
    answer = await embedder.embed(EmbedRequest.of("one", purpose="query"))
    assert_type(answer, EmbedResponse)
    assert_type(answer.vectors, tuple[Sequence[float], ...])
    ranks = await container.resolve(IReranker, "search").rerank(RerankRequest.of("one", "two", top_n=1))
    assert_type(ranks.results, tuple[Ranked, ...])
    assert_type(container.reranker("search"), IReranker)
    assert_type(container.resolve(SyncEmbedder, "search"), SyncEmbedder)
    assert_type(container.sync_embedder("search").embed(EmbedRequest.of("one")), EmbedResponse)
    assert_type(container.sync_reranker("search").rerank(RerankRequest.of("one", "two")), RerankResponse)


async def counts(container: LLMContainer) -> None:
    counter = container.resolve(ITokenCounter, "planner")
    assert_type(counter, ITokenCounter)
    assert_type(container.token_counter("planner"), ITokenCounter)
    counted = await counter.count(LLMRequest.of("hi"))
    assert_type(counted, TokenCount)
    assert_type(counted.input_tokens, int)
    assert_type(counted.input_cost, Cost | Unpriced)
    assert_type(container.resolve(SyncTokenCounter, "planner"), SyncTokenCounter)
    assert_type(container.sync_token_counter("planner").count(LLMRequest.of("hi")), TokenCount)
    assert_type(container.resolve(ILLMClientFactory).counter(LLMConfig.openai("m")), ITokenCounter)


def in_sync_code(client: SyncLLMClient) -> None:
    assert_type(client.generate(LLMRequest.of("hi")), LLMResponse[str])
