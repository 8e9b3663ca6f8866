"""The official SDKs ask our fake provider for vectors and ranks: independent witnesses that it words them rightly.

Each checks the body against its own types; nothing leaves loopback.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import cohere
import httpx
import ollama
import openai
import pytest
from google import genai
from google.genai import types

from loomwire.testing import Failure, FakeProvider, Reply, hashed_vector

TEXTS = ["a giant panda", "a small car"]
VECTORS = [hashed_vector(text).tolist() for text in TEXTS]


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    """A server that says something."""
    async with FakeProvider() as server:
        yield server


async def test_openais_sdk_reads_base64_unasked_and_numbers_when_asked(provider: FakeProvider) -> None:
    async with openai.AsyncOpenAI(api_key="witness", base_url=provider.base_url, max_retries=0) as sdk:
        packed = await sdk.embeddings.create(model="m", input=TEXTS)
        numbers = await sdk.embeddings.create(model="m", input=TEXTS, encoding_format="float", dimensions=8)
        assert [row.embedding for row in packed.data] == [pytest.approx(vector) for vector in VECTORS]
        assert [row.index for row in packed.data] == [0, 1]
        assert len(numbers.data[0].embedding) == 8
        assert packed.usage.prompt_tokens == packed.usage.total_tokens > 0
        provider.queue(Reply(failure=Failure("throttled")))
        with pytest.raises(openai.RateLimitError):
            await sdk.embeddings.create(model="m", input=TEXTS)


async def test_coheres_sdk_reads_vectors_and_ranks(provider: FakeProvider) -> None:
    root = provider.base_url.removesuffix("/v1")
    async with cohere.AsyncClientV2(api_key="witness", base_url=root, max_retries=0) as sdk:
        answer = await sdk.embed(model="m", texts=TEXTS, input_type="search_query", embedding_types=["float"])
        assert answer.embeddings.float_ == VECTORS
        assert answer.response_type == "embeddings_by_type"
        assert answer.meta is not None
        assert answer.meta.billed_units is not None
        assert (answer.meta.billed_units.input_tokens or 0) > 0
        ranks = await sdk.rerank(model="m", query="small car", documents=TEXTS, top_n=1)
        assert [(rank.index, rank.relevance_score) for rank in ranks.results] == [(1, 1.0)]


async def test_ollamas_sdk_reads_vectors(provider: FakeProvider) -> None:
    async with ollama.AsyncClient(provider.base_url.removesuffix("/v1")) as sdk:
        answer = await sdk.embed(model="m", input=TEXTS)
        assert [list(vector) for vector in answer.embeddings] == VECTORS
        assert (answer.prompt_eval_count or 0) > 0


async def test_googles_sdk_reads_vectors(provider: FakeProvider) -> None:
    place = provider.base_url.removesuffix("/v1")
    contents: list[types.ContentUnion] = [*TEXTS]
    async with httpx.AsyncClient() as http:
        options = types.HttpOptions(base_url=place, api_version="v1beta", httpx_async_client=http)
        answer = await genai.Client(api_key="witness", http_options=options).aio.models.embed_content(
            model="m", contents=contents, config=types.EmbedContentConfig(output_dimensionality=16)
        )
    assert [row.values for row in answer.embeddings or ()] == [hashed_vector(text, 16).tolist() for text in TEXTS]
