"""The fake provider words vectors and ranks as each vendor does, and says no in that vendor's words."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping

import httpx
import pytest

from loomwire.domain.pricing import NO_USAGE, Usage
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing import FakeProvider, Pace, hashed_vector
from loomwire.testing.speakers.table import speaker_for
from loomwire.testing.speaking import REFUSALS, Saying
from support.rebuilding_vectors import found

A = hashed_vector("a")
PATHS = ("/embeddings", "/api/embed", "/embed", "/models/m:batchEmbedContents", "/rerank")


@pytest.fixture
async def provider() -> AsyncGenerator[FakeProvider]:
    """A provider that says something."""
    async with FakeProvider() as running:
        yield running


async def posted(provider: FakeProvider, path: str, body: JSON) -> dict[str, JSON]:
    """Return the JSON of an answer."""
    async with httpx.AsyncClient() as http:
        answer = await http.post(provider.base_url + path, json=body)
    assert answer.status_code == 200
    read: dict[str, JSON] = answer.json()
    return read


async def test_openai_gives_numbers_or_base64(provider: FakeProvider) -> None:
    asked: dict[str, JSON] = {"model": "m", "input": ["a", "b"]}
    numbers = await posted(provider, "/embeddings", asked)
    packed = await posted(provider, "/embeddings", {**asked, "encoding_format": "base64", "dimensions": 8})
    assert numbers["data"] == [
        {"object": "embedding", "index": 0, "embedding": A.tolist()},
        {"object": "embedding", "index": 1, "embedding": hashed_vector("b").tolist()},
    ]
    assert found(packed, "data", 0, "embedding") == b64encode(hashed_vector("a", 8).tobytes()).decode()
    tokens = len(provider.requests[0].body) // 4
    assert numbers["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}


async def test_a_lone_text_and_token_numbers_are_taken_too(provider: FakeProvider) -> None:
    for lone in ("a", [1, 2]):
        answer = await posted(provider, "/embeddings", {"input": lone})
        assert isinstance(answer["data"], list)
        assert len(answer["data"]) == (1 if lone == "a" else 2)
        assert answer["model"] == "loopback"


async def test_gemini_cohere_and_ollama_have_their_own_words(provider: FakeProvider) -> None:
    asked: JSON = {"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 4}
    gemini = await posted(provider, "/models/my%20m:batchEmbedContents", {"requests": [asked]})
    assert gemini["embeddings"] == [{"values": hashed_vector("a", 4).tolist()}]
    assert provider.requests[-1].model == "my m"
    cohere = await posted(provider, "/v2/embed", {"model": "m", "texts": ["a"]})
    assert cohere["embeddings"] == {"float": [A.tolist()]}
    ollama = await posted(provider, "/api/embed", {"model": "m", "input": ["a"]})
    assert ollama["embeddings"] == [A.tolist()]
    assert ollama["model"] == "m"


async def test_ranks_are_worded_for_who_asks(provider: FakeProvider) -> None:
    asked: dict[str, JSON] = {"model": "m", "query": "a b", "documents": ["c", "b", "a b"]}
    llamacpp = await posted(provider, "/rerank", {**asked, "top_n": 2})
    assert llamacpp["results"] == [{"index": 2, "relevance_score": 1.0}, {"index": 1, "relevance_score": 0.5}]
    assert "usage" in llamacpp
    voyage = await posted(provider, "/rerank", {**asked, "top_k": 1})
    assert voyage["data"] == [{"index": 2, "relevance_score": 1.0}]
    cohere = await posted(provider, "/v2/rerank", asked)
    assert cohere["meta"] == {"billed_units": {"search_units": 1}}
    assert "usage" not in cohere


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"requests": [1]}', b'{"input": 7, "texts": {}, "documents": [1]}']
)
async def test_what_asks_for_nothing_is_refused(provider: FakeProvider, path: str, body: bytes) -> None:
    async with httpx.AsyncClient() as http:
        assert (await http.post(provider.base_url + path, content=body)).status_code == 400


@pytest.mark.parametrize("path", PATHS)
async def test_every_refusal_is_said_in_the_dialects_words(path: str) -> None:
    refusals = [Reply(failure=Failure(reason)) for reason in REFUSALS]
    async with FakeProvider(*refusals) as provider, httpx.AsyncClient() as http:
        for _ in REFUSALS:
            assert (await http.post(provider.base_url + path, json={})).status_code >= 400


async def test_usage_delay_and_cut_of_a_reply_hold_here_too() -> None:
    async with FakeProvider(
        Reply(usage=Usage(7, 9)), Reply(usage=NO_USAGE), Reply(cut_after=0), pace=Pace()
    ) as provider:
        told = await posted(provider, "/embeddings", {"input": "a"})
        assert told["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
        assert "usage" not in await posted(provider, "/embeddings", {"input": "a"})
        with pytest.raises(httpx.RemoteProtocolError):
            await posted(provider, "/embeddings", {"input": "a"})
        assert provider.books.overall.usage.input_tokens >= 7
        assert provider.books.overall.usage.output_tokens == 0


@pytest.mark.parametrize(("path", "usage"), [("/api/embed", "prompt_eval_count"), ("/embed", "billed_units")])
async def test_no_usage_is_told_where_the_reply_has_none(path: str, usage: str) -> None:
    async with FakeProvider(then=Reply(usage=NO_USAGE)) as provider:
        asked: Mapping[str, JSON] = {"model": "m", "input": ["a"], "texts": ["a"]}
        assert usage not in json.dumps(await posted(provider, path, asked))
        gemini = await posted(provider, "/models/m:batchEmbedContents", {"requests": [{"content": {}}]})
        assert gemini.keys() == {"embeddings"}


def test_a_speaker_of_vectors_lists_nothing_and_spoils_nothing() -> None:
    speaker = speaker_for("/v1/embeddings?x=1")
    assert speaker is not None
    assert speaker.listing("/models", ["m"]) is None
    assert speaker.error_event(Failure("server")).startswith(b"data:")
    assert speaker.refusal(Failure("model")).status == 404
    assert speaker.spoiled(Saying(model="m", usage=NO_USAGE, content_type="", request_id="")) == {}
