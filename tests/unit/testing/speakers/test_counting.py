"""The fake provider counts as each vendor does, and says no in that vendor's words."""

from __future__ import annotations

import httpx
import pytest

from loomwire.domain.pricing import NO_USAGE, Usage
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing import FakeProvider
from loomwire.testing.speakers.table import speaker_for
from loomwire.testing.speaking import REFUSALS, Saying

TURN: JSON = [{"role": "user", "content": "Hi"}]
ASKS: dict[str, tuple[str, dict[str, JSON], dict[str, JSON]]] = {
    "anthropic": ("/messages/count_tokens", {"model": "m", "messages": TURN}, {"input_tokens": 41}),
    "openai_responses": (
        "/responses/input_tokens",
        {"model": "m", "input": "Hi"},
        {"object": "response.input_tokens", "input_tokens": 41},
    ),
    "gemini": (
        "/models/m:countTokens",
        {"generateContentRequest": {"model": "models/m", "contents": TURN}},
        {"totalTokens": 41, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 41}]},
    ),
    "vertex": (
        "/publishers/google/models/m:countTokens",
        {"contents": TURN},
        {"totalTokens": 41, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 41}]},
    ),
    "bedrock": ("/model/m/count-tokens", {"input": {"converse": {"messages": TURN}}}, {"inputTokens": 41}),
}
every_dialect = pytest.mark.parametrize(("path", "body", "says"), ASKS.values(), ids=ASKS)


@every_dialect
async def test_every_dialect_has_its_own_words_and_nothing_is_booked(
    path: str, body: dict[str, JSON], says: dict[str, JSON]
) -> None:
    async with FakeProvider(Reply(usage=Usage(41, 9)), Reply(), Reply(usage=NO_USAGE)) as provider:
        async with httpx.AsyncClient() as http:
            told, *guessed = [await http.post(provider.base_url + path, json=body) for _ in range(3)]
        assert told.json() == says
        size = len(provider.requests[-1].body) // 4
        assert all(size in answer.json().values() for answer in guessed)
        assert provider.requests[0].model == "m"
        assert provider.books.overall.usage.total_tokens == 0


@every_dialect
@pytest.mark.parametrize("wrong", [b"", b"[]", b"{}", b'{"input": {"converse": 7}, "messages": 7, "contents": {}}'])
async def test_what_asks_for_nothing_is_refused(
    path: str, body: dict[str, JSON], says: dict[str, JSON], wrong: bytes
) -> None:
    async with FakeProvider() as provider, httpx.AsyncClient() as http:
        assert (await http.post(provider.base_url + path, content=wrong)).status_code == 400


@pytest.mark.parametrize(
    ("dialect", "extra"),
    [
        ("anthropic", {"max_tokens": 9}),
        ("openai_responses", {"store": False}),
        ("bedrock", {"input": {"converse": {"messages": TURN, "inferenceConfig": {}}}}),
    ],
)
async def test_what_the_endpoint_does_not_take_is_refused_as_by_the_vendor(
    dialect: str, extra: dict[str, JSON]
) -> None:
    path, body, _ = ASKS[dialect]
    async with FakeProvider() as provider, httpx.AsyncClient() as http:
        refused = await http.post(provider.base_url + path, json={**body, **extra})
    assert refused.status_code == 400
    assert "Extra inputs are not permitted" in refused.text


@every_dialect
async def test_every_refusal_is_said_in_the_dialects_words(
    path: str, body: dict[str, JSON], says: dict[str, JSON]
) -> None:
    refusals = [Reply(failure=Failure(reason)) for reason in REFUSALS]
    async with FakeProvider(*refusals) as provider, httpx.AsyncClient() as http:
        for _ in REFUSALS:
            assert (await http.post(provider.base_url + path, json=body)).status_code >= 400


def test_a_speaker_of_counts_lists_nothing_and_spoils_nothing() -> None:
    speaker = speaker_for("/v1/messages/count_tokens?beta=true")
    assert speaker is not None
    assert speaker.listing("/models", ["m"]) is None
    assert speaker.refusal(Failure("model")).status == 404
    assert speaker.spoiled(Saying(model="m", usage=NO_USAGE, content_type="", request_id="")) == {}
