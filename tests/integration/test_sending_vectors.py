"""Embedders, rerankers and token counters under fire, over real servers: retries, keys, circuits, limits."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from typing_extensions import override

from loomwire import LLMContainer, LLMRequest
from loomwire.domain.errors import (
    AllTargetsFailedError,
    CircuitOpenError,
    LLMAuthenticationError,
    LLMTemporaryError,
    LLMTimeoutError,
)
from loomwire.domain.events import CallRecord
from loomwire.domain.ports.events import IEventSink
from loomwire.domain.values import JSON
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse, RerankRequest
from loomwire.testing import FakeProvider, HttpReply
from loomwire.testing.wire import ReceivedRequest
from support.folders import folder
from support.sending import told

ASK = EmbedRequest.of("one", "two")
RANK = RerankRequest.of("giant panda", "A car.", "The giant panda.")
FAST: dict[str, JSON] = {"attempts": 3, "base": 0.001, "throttle_base": 0.001}
FINE = "No chat answers here, so any text stands for an answer."


class Refused(IEventSink):
    """Tells that an attempt was refused."""

    def __init__(self) -> None:
        self.came = asyncio.Event()

    @override
    def emit(self, record: CallRecord) -> None:
        self.came.set()


def throttled(wait_ms: int) -> HttpReply:
    """Refuse, and name a wait."""
    return HttpReply(429, {"detail": "Slow down."}, {"retry-after-ms": str(wait_ms)})


def search(where: Path, base_url: str, *keys: str, **client: JSON) -> Path:
    """Write a configuration whose client embeds and ranks over Voyage's API."""
    provider: dict[str, JSON] = {
        "type": "voyage",
        "base_url": base_url,
        "keys": list(keys or ("test-key",)),
        "allow_private": True,
    }
    return folder(
        where,
        providers={"voyage": provider},
        models={"vectors": {"provider": "voyage", "model": "voyage-4"}},
        clients={"search": {"models": ["vectors"], "retry": FAST, **client}},
        limits={"voyage": {"kind": "provider", "concurrency": 2}},
    )


async def embedded(container: LLMContainer, request: EmbedRequest = ASK) -> EmbedResponse:
    """Embed."""
    return await container.embedder("search").embed(request)


async def test_a_throttled_batch_is_sent_again_after_its_wait_and_the_others_once(tmp_path: Path) -> None:
    waits: list[float] = []
    loop = asyncio.get_running_loop()

    def one_is_slow(request: ReceivedRequest) -> HttpReply | str:
        if "text 1500" not in request.body.decode():
            return FINE
        waits.append(loop.time())
        return throttled(60) if len(waits) == 1 else FINE

    texts = tuple(f"text {number}" for number in range(2500))
    async with FakeProvider(then=one_is_slow) as provider:
        path = await asyncio.to_thread(search, tmp_path, provider.base_url)
        async with LLMContainer.aopen(path, watch=False) as container:
            answer = await embedded(container, EmbedRequest(texts))
        assert len(provider.requests) == 10 + 1
    assert len(answer.vectors) == 2500
    assert waits[1] - waits[0] >= 0.06
    assert [step.outcome for step in answer.steps if step.layer == "retry"] == ["retried"]


@pytest.mark.parametrize("kind", ["embeddings", "rerank"])
@pytest.mark.parametrize("attempts", [1, 3, 5])
async def test_the_provider_counts_what_the_policy_says(tmp_path: Path, attempts: int, kind: str) -> None:
    async with FakeProvider(then=HttpReply(503, {"detail": "No."})) as provider:
        path = await asyncio.to_thread(search, tmp_path, provider.base_url, retry={**FAST, "attempts": attempts})
        async with LLMContainer.aopen(path, watch=False) as container:
            with pytest.raises(LLMTemporaryError):
                _ = await (embedded(container) if kind == "embeddings" else container.reranker("search").rerank(RANK))
        assert len(provider.requests) == attempts


async def test_the_second_key_answers_when_the_first_is_refused_and_the_chat_would_know(tmp_path: Path) -> None:
    def by_key(request: ReceivedRequest) -> HttpReply | str:
        return HttpReply(401, {"detail": "Who?"}) if "dead" in request.headers["authorization"] else FINE

    async with FakeProvider(then=by_key) as provider:
        path = await asyncio.to_thread(search, tmp_path, provider.base_url, "dead-key-1", "good-key-2")
        async with LLMContainer.aopen(path, watch=False) as container:
            answers = [await embedded(container, replace(ASK, cache="off")) for _ in range(3)]
            ranks = await container.reranker("search").rerank(RANK)
        keys = [request.headers["authorization"] for request in provider.requests]
    assert keys.count("Bearer dead-key-1") <= 1
    assert len(keys) >= 4
    assert keys[-1] == "Bearer good-key-2"
    assert len(ranks.results) == 2
    assert not any("key-" in step for answer in answers for step in told(answer.steps))


async def test_when_all_keys_are_dead_the_error_has_one_for_each(tmp_path: Path) -> None:
    async with FakeProvider(then=HttpReply(401, {"detail": "Who?"})) as provider:
        path = await asyncio.to_thread(search, tmp_path, provider.base_url, "dead-key-1", "dead-key-2")
        async with LLMContainer.aopen(path, watch=False) as container:
            with pytest.raises(AllTargetsFailedError) as caught:
                await embedded(container)
        assert len(provider.requests) == 2
    assert [type(error) for error in caught.value.errors] == [LLMAuthenticationError] * 2


async def test_a_circuit_opens_and_nothing_is_sent_any_more(tmp_path: Path) -> None:
    breaker: JSON = {"consecutive": 2, "min_calls": 2, "open": 30.0}
    async with FakeProvider(then=HttpReply(503, {"detail": "No."})) as provider:
        path = await asyncio.to_thread(
            search, tmp_path, provider.base_url, breaker=breaker, retry={**FAST, "attempts": 2}
        )
        async with LLMContainer.aopen(path, watch=False) as container:
            with pytest.raises(LLMTemporaryError):
                await embedded(container)
            with pytest.raises(CircuitOpenError) as caught:
                await embedded(container)
            with pytest.raises(CircuitOpenError):
                await container.reranker("search").rerank(RANK)
        assert len(provider.requests) == 2
    assert told(caught.value.steps) == ["breaker voyage/voyage-4 refused circuit_open"]


async def test_cancellation_in_the_wait_leaves_slots_and_connections_free(tmp_path: Path) -> None:
    sink = Refused()
    async with FakeProvider(then=throttled(30_000)) as provider:
        path = await asyncio.to_thread(search, tmp_path, provider.base_url)
        async with LLMContainer.aopen(path, watch=False, overrides={"event_sink": sink}) as container:
            task = asyncio.create_task(embedded(container))
            await sink.came.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            lanes = container.wiring.target_states().slots.statistics().values()
            assert [(lane.in_use, lane.waiting) for lane in lanes] == [(0, 0)]
            with pytest.raises(LLMTimeoutError) as caught:
                # The lane stands still for as long as the provider asked, and says so at once.
                await embedded(container, EmbedRequest.of("one", deadline_s=1.0))
        assert caught.value.reason == "queue"
        assert len(provider.requests) == 1


async def test_a_token_count_is_asked_for_again(tmp_path: Path) -> None:
    provider_of: dict[str, JSON] = {"type": "anthropic", "api_key": "test-key", "allow_private": True}
    busy = HttpReply(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Busy."}})
    async with FakeProvider(busy, busy) as provider:
        path = await asyncio.to_thread(
            folder,
            tmp_path,
            providers={"anthropic": {**provider_of, "base_url": provider.base_url}},
            models={"big": {"provider": "anthropic", "model": "claude-1"}},
            clients={"teller": {"models": ["big"], "retry": FAST}},
        )
        async with LLMContainer.aopen(path, watch=False) as container:
            counted = await container.token_counter("teller").count(LLMRequest.of("How many?"))
        assert counted.input_tokens > 0
        assert [step.layer for step in counted.steps] == ["attempt", "retry", "attempt", "retry", "attempt"]
        assert len({json.dumps(request.json, sort_keys=True) for request in provider.requests}) == 1
        assert len(provider.requests) == 3
