from __future__ import annotations

import pytest

from loomwire.application.embedding.chains import build_embedder, build_reranker
from loomwire.application.embedding.counting import build_counter
from loomwire.application.memory.gate import ALL_REFUSED, PATIENT_REFUSED
from loomwire.domain.config import ClientConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.requests import LLMRequest
from loomwire.domain.vectors.embeddings import EmbedRequest, RerankRequest
from loomwire.testing import RecordingSink
from support.chains import target
from support.counting import WordCounter, counting_parts
from support.embedding import Fixed, Watched, parts_of

SEARCH = ClientConfig(name="search", targets=(target(),))
ASK = EmbedRequest.of("one")


async def test_embedding_and_ranking_go_on_until_every_call_is_refused() -> None:
    leaf, sink = Watched(), RecordingSink()
    parts = parts_of(Fixed(leaf), sinks=[sink])
    embedder, reranker = build_embedder(SEARCH, parts), build_reranker(SEARCH, parts)
    parts.gate.level = PATIENT_REFUSED
    await embedder.embed(ASK)
    parts.gate.level = ALL_REFUSED
    for call in (embedder.embed(ASK), reranker.rerank(RerankRequest.of("one", "two"))):
        with pytest.raises(LLMError) as caught:
            await call
        assert (caught.value.reason, caught.value.retry_after) == ("memory", 1.0)
    assert len(leaf.requests) == 1
    assert [record.outcome for record in sink.records if record.level == "call"] == ["answered", "failed", "failed"]


async def test_counting_for_a_patient_call_is_refused_first() -> None:
    parts, _ = counting_parts(WordCounter())
    counter = build_counter(SEARCH, parts)
    parts.gate.level = PATIENT_REFUSED
    with pytest.raises(LLMError) as caught:
        await counter.count(LLMRequest(LLMRequest.of("Hi").messages, priority="cost"))
    assert caught.value.reason == "memory"
