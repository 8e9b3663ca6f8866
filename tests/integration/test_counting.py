"""Token counters as hosts have them: by name, from YAML, following edits."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from loomwire import LLMConfig, LLMContainer, LLMRequest
from loomwire.application.handles.counting import SyncTokenCounter
from loomwire.container.process import process_container
from loomwire.domain.errors import CapabilityError, ClientRemovedError, LLMValidationError, UnknownNameError
from loomwire.domain.ports.client import ILLMClientFactory
from loomwire.domain.ports.counting import ITokenCounter
from loomwire.domain.pricing import Cost, Unpriced, Usage
from loomwire.domain.values import JSON, Secret
from loomwire.testing import FakeProvider, HttpReply, Recorder, RecordingSink, Reply
from support.folders import folder

ACCESS, SECRET = "AKIA" + "0" * 16, "s" * 40
HI = LLMRequest.of("How many tokens are these?", deadline_s=30)


def teller(where: Path, base_url: str, model: str = "claude-1", *names: str, system: str = "Be brief.") -> Path:
    """Write a configuration whose clients speak messages."""
    provider: dict[str, JSON] = {
        "type": "anthropic",
        "base_url": base_url,
        "api_key": "test-key",
        "allow_private": True,
    }
    prices: Mapping[str, JSON] = {"input_usd_per_mtok": 2, "output_usd_per_mtok": 9}
    return folder(
        where,
        providers={"anthropic": provider},
        models={"big": {"provider": "anthropic", "model": model, "prices": prices, "parameters": {"temperature": 0.5}}},
        clients={name: {"models": ["big"], "system": system} for name in names or ("teller",)},
    )


def opened(path: Path) -> AbstractAsyncContextManager[LLMContainer]:
    """Return a container that follows no edits by itself."""
    return LLMContainer.aopen(path, watch=False)


async def test_a_client_is_resolved_as_a_counter_of_what_it_would_send(tmp_path: Path) -> None:
    sink = RecordingSink()
    async with FakeProvider(Reply(usage=Usage(41, 9)), "Six.") as provider:
        path = await asyncio.to_thread(teller, tmp_path, provider.base_url)
        async with LLMContainer.aopen(path, overrides={"event_sink": sink}) as container:
            counted = await container.resolve(ITokenCounter, "teller").count(HI)
            await container.llm_client("teller").generate(HI)
            assert (counted.input_tokens, counted.model, counted.provider) == (41, "claude-1", "anthropic")
            assert counted.input_cost == Cost(82)
            assert (counted.cost, counted.usage.total_tokens, counted.request_id) == (Cost(0), 0, "req-000000000001")
            assert [record.operation for record in sink.records] == ["count_tokens", "count_tokens", "chat", "chat"]
            assert repr(container.token_counter("teller")) == "TokenCounter(teller)"
        asked, sent = (json.loads(request.body) for request in provider.requests)
        assert asked == {name: sent[name] for name in ("model", "messages", "system")}
        assert sent.keys() - asked.keys() == {"max_tokens", "temperature"}
        assert provider.requests[0].headers["x-api-key"] == "test-key"


async def test_an_edit_is_followed_and_a_removed_client_says_so(tmp_path: Path) -> None:
    async with FakeProvider() as provider:
        path = await asyncio.to_thread(teller, tmp_path, provider.base_url)
        async with opened(path) as container:
            counter = container.token_counter("teller")
            before = await counter.count(HI)
            await asyncio.to_thread(teller, tmp_path, provider.base_url, "claude-2", system="Be brief. " * 40)
            await container.areload()
            after = await counter.count(HI)
            assert (before.model, after.model) == ("claude-1", "claude-2")
            assert after.input_tokens > before.input_tokens
            await asyncio.to_thread(teller, tmp_path, provider.base_url, "claude-2", "other")
            await container.areload()
            with pytest.raises(ClientRemovedError):
                await counter.count(HI)


async def test_a_type_that_cannot_count_says_which_can(tmp_path: Path) -> None:
    path = await asyncio.to_thread(folder, tmp_path)
    async with opened(path) as container:
        for resolve in (container.token_counter, container.sync_token_counter):
            with pytest.raises(CapabilityError, match="type mock cannot count tokens") as caught:
                resolve("planner")
            assert "anthropic, openai (with dialect openai_responses), gemini" in caught.value.hint
            with pytest.raises(UnknownNameError, match="no client named 'nobody'"):
                resolve("nobody")


async def test_the_blocking_twin_asks_the_same_server(tmp_path: Path) -> None:
    async with FakeProvider(then=Reply(usage=Usage(41, 9))) as provider:
        path = await asyncio.to_thread(teller, tmp_path, provider.base_url)

        def ask() -> int:
            with LLMContainer.open(path, watch=False) as container:
                return container.resolve(SyncTokenCounter, "teller").count(HI).input_tokens

        assert await asyncio.to_thread(ask) == 41


async def test_a_pinned_run_and_another_process_count_too(tmp_path: Path) -> None:
    async with FakeProvider() as provider:
        path = await asyncio.to_thread(teller, tmp_path, provider.base_url)
        container = await asyncio.to_thread(process_container, path)
        with container.pinned() as run:
            await asyncio.to_thread(teller, tmp_path, provider.base_url, "claude-2")
            await container.areload()
            assert (await run.token_counter("teller").count(HI)).model == "claude-1"
        again: ITokenCounter = await asyncio.to_thread(pickle.loads, pickle.dumps(container.token_counter("teller")))
        assert (await again.count(HI)).model == "claude-2"
        await container.aclose()


async def test_a_host_builds_counters_by_hand_and_unknown_prices_are_said(tmp_path: Path) -> None:
    async with FakeProvider() as provider:
        config = LLMConfig.of("custom", "m", dialect="openai_responses", base_url=provider.base_url, allow_private=True)
        async with opened(await asyncio.to_thread(folder, tmp_path)) as container:
            factory = container.resolve(ILLMClientFactory)
            counter = await asyncio.to_thread(factory.counter, config)
            counted = await counter.count(HI)
            assert counted.input_tokens > 0
            assert counted.input_cost == Unpriced("no_price")


async def test_bedrock_counts_are_signed_and_never_send_the_secret() -> None:
    async with FakeProvider(then=Reply(usage=Usage(41, 9))) as provider:
        config = LLMConfig(
            type="bedrock",
            model="a.claude",
            base_url=provider.base_url.removesuffix("/v1"),
            keys=(Secret(f"{ACCESS}:{SECRET}"),),
            options={"region": "us-east-1"},
            allow_private=True,
        )
        container = await asyncio.to_thread(LLMContainer.of, {"teller": config})
        assert (await container.token_counter("teller").count(HI)).input_tokens == 41
        request = provider.requests[0]
        assert request.path == "/model/a.claude/count-tokens"
        assert request.headers["authorization"].startswith(f"AWS4-HMAC-SHA256 Credential={ACCESS}/")
        assert SECRET.encode() not in request.body
        assert SECRET not in str(request.headers)
        await container.aclose()


async def test_a_failure_carries_the_providers_words_and_never_the_prompt_or_the_key() -> None:
    refusal = HttpReply(
        400, {"type": "error", "error": {"type": "invalid_request_error", "message": f"Bad: {HI.messages[0].text}"}}
    )
    page = HttpReply(200, "<html>login</html>", {"content-type": "text/html"})
    async with FakeProvider(refusal, then=page) as provider:
        config = LLMConfig.of("anthropic", "m", api_key="secret-key", base_url=provider.base_url, allow_private=True)
        container = await asyncio.to_thread(LLMContainer.of, {"teller": config})
        with pytest.raises(LLMValidationError) as caught:
            await container.token_counter("teller").count(HI)
        assert caught.value.provider_message == "Bad: [prompt]"
        assert caught.value.endpoint == provider.base_url.removesuffix("/v1")
        assert "secret-key" not in str(caught.value.to_dict())
        with pytest.raises(Exception, match="content type") as odd:
            await container.token_counter("teller").count(HI)
        assert "login" not in str(odd.value)
        await container.aclose()


async def test_recordings_count_in_place_of_the_provider(tmp_path: Path) -> None:
    recorded = tmp_path / "recorded"
    async with FakeProvider(Reply(usage=Usage(41, 9))) as provider:
        config = LLMConfig.of("anthropic", "m", api_key="k", base_url=provider.base_url, allow_private=True)
        recorder = Recorder(recorded, "record")
        container = await asyncio.to_thread(
            LLMContainer.of, {"teller": config}, overrides={"connection_pool": recorder}
        )
        await container.token_counter("teller").count(HI)
        await container.aclose()
    assert [path.stem[:-7] for path in recorded.glob("*.json")] == ["0001-local-count_tokens"]
    played = LLMConfig.of(
        "anthropic", "m", api_key="k", base_url=config.base_url or "", replay=str(recorded), allow_private=True
    )
    container = await asyncio.to_thread(LLMContainer.of, {"teller": played})
    assert (await container.token_counter("teller").count(HI)).input_tokens == 41
    await container.aclose()
