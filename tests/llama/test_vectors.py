"""llama.cpp itself embeds and reranks, in this process, through the whole container."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from loomwire.container.facade import LLMContainer
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, LLMValidationError
from loomwire.domain.ports.embedding import IEmbedder, IReranker
from loomwire.domain.pricing import Cost
from loomwire.domain.vectors.embeddings import EmbedRequest, RerankRequest
from loomwire.infrastructure.local.engine import start_engine
from loomwire.infrastructure.local.settings import LocalSettings
from tools.tiny_gguf import Shape, gguf

TEXTS = ("a giant panda", "a small car", "snow in winter")
MEAN = 1


@pytest.fixture(scope="module")
def pooled(models: Path) -> Path:
    """Return a model that says how it pools."""
    file = models / "pooled.gguf"
    file.write_bytes(gguf(Shape(pooling=MEAN)))
    return file


def local(file: Path) -> LLMConfig:
    return LLMConfig.local(str(file), context=256, parallel=2, threads=1)


async def opened(config: LLMConfig) -> LLMContainer:
    return await asyncio.to_thread(LLMContainer.of, {"search": config})


def angle(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the cosine between two vectors."""
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / math.sqrt(sum(a * a for a in one) * sum(b * b for b in other))


async def test_texts_are_embedded_in_this_process_in_order(pooled: Path) -> None:
    container = await opened(local(pooled))
    embedder = container.resolve(IEmbedder, "search")
    many = tuple(f"{text} {number}" for number in range(30) for text in TEXTS)
    answer = await embedder.embed(EmbedRequest(many))
    assert len(answer.vectors) == len(many)
    assert answer.dimensions == 64
    assert len(answer.steps) == 2
    assert answer.usage.input_tokens > len(many)
    assert answer.cost == Cost(0)
    alone = await embedder.embed(EmbedRequest((many[70],), cache="off"))
    assert angle(alone.vectors[0], answer.vectors[70]) > 0.999
    await container.aclose()


async def test_documents_are_ranked_in_this_process(pooled: Path) -> None:
    container = await opened(local(pooled))
    answer = await container.resolve(IReranker, "search").rerank(RerankRequest("panda", TEXTS, 2))
    assert len(answer.results) == 2
    assert answer.results[0].score >= answer.results[1].score
    assert {rank.index for rank in answer.results} < {0, 1, 2}
    await container.aclose()


async def test_a_model_that_does_not_say_how_it_pools_is_refused_in_llamacpps_words(models: Path) -> None:
    container = await opened(local(models / "plain.gguf"))
    with pytest.raises(LLMValidationError) as caught:
        await container.embedder("search").embed(EmbedRequest.of("x"))
    assert "pooling" in (caught.value.provider_message or "").lower()
    with pytest.raises(CapabilityError):
        await container.embedder("search").embed(EmbedRequest.of("x", dimensions=8))
    await container.aclose()


async def test_a_server_of_ones_own_embeds_over_the_network(pooled: Path) -> None:
    settings = LocalSettings(model_path=str(pooled), context=256, parallel=2, threads=1, serves="vectors")
    engine = await asyncio.to_thread(start_engine, settings)
    config = LLMConfig.llamacpp("pooled", base_url=engine.base_url, api_key=engine.key.reveal(), allow_private=True)
    container = await opened(config)
    answer = await container.embedder("search").embed(EmbedRequest(TEXTS))
    assert (len(answer.vectors), answer.dimensions, answer.model) == (3, 64, "pooled")
    await container.aclose()
    await asyncio.to_thread(engine.stop)
