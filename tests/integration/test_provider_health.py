"""Health of providers end to end: YAML, a container, real sockets; who is looked at, when, and what one is told."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from loomwire import LLMContainer, LLMRequest
from loomwire.application.health.monitor import ProviderHealthMonitor
from loomwire.domain.errors import ClientRemovedError, LLMError
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.manager import ProviderManager
from loomwire.testing import FakeProvider, HttpReply, RawReply
from support.folders import folder

HI = LLMRequest.of("Hi")
KEY = "sk-canary-in-the-yaml"


def configured(where: Path, provider: FakeProvider, health: Mapping[str, JSON], model: str = "m") -> Path:
    """Write a configuration of one model and one client that is sent to once."""
    server: JSON = {"type": "openai", "base_url": provider.base_url, "allow_private": True, "api_key": KEY}
    return folder(
        where,
        providers={"server": server},
        models={"one": {"provider": "server", "model": model}},
        clients={"planner": {"models": ["one"], "retry": {"attempts": 1}}},
        health=health,
    )


async def until(happened: Callable[[], bool]) -> None:
    """Wait for something, on a thread; five seconds at most."""

    def seen() -> bool:
        end = threading.Event()
        return any(happened() or end.wait(0.01) for _ in range(500))

    assert await asyncio.to_thread(seen)


def asked_for_models(provider: FakeProvider) -> int:
    """Return how often the provider was looked at."""
    return sum(request.method == "GET" for request in provider.requests)


async def test_a_provider_without_calls_is_looked_at_again_and_again_and_never_asked_a_model(tmp_path: Path) -> None:
    async with FakeProvider() as provider:
        where = configured(tmp_path, provider, {"interval": 0.05, "timeout": 1}, model="loopback")
        async with LLMContainer.aopen(where) as container:
            await until(lambda: asked_for_models(provider) >= 3)
            (health,) = container.provider_health()
            assert (health.provider, health.reachable, health.healthy) == ("server", True, True)
            assert container.resolve(ProviderHealthMonitor).health()[0].provider == "server"
            said = container.health()
            assert [each.provider for each in said.providers] == ["server"]
            assert [each.name for each in said.circuits] == ["server", "server/loopback"]
            assert said.targets["server/loopback"].answered == 0
            shown = json.loads(json.dumps(said.to_dict()))
            assert shown["providers"][0]["schema"] == "loomwire/provider-health/1"
            assert shown["circuits"][0]["state"] == "closed"
        looked = asked_for_models(provider)
        assert {request.method for request in provider.requests} == {"GET"}
        assert len(provider.requests) == looked
        await asyncio.to_thread(threading.Event().wait, 0.09)
        # Closed is closed.
        assert asked_for_models(provider) == looked


async def test_a_provider_with_calls_is_not_looked_at(tmp_path: Path) -> None:
    async with FakeProvider() as provider:
        where = configured(tmp_path, provider, {"interval": 0.5})
        async with LLMContainer.aopen(where) as container:
            planner = container.llm_client("planner")
            ended = asyncio.get_running_loop().time() + 1.2
            while asyncio.get_running_loop().time() < ended:
                await planner.generate(HI)
                await asyncio.sleep(0.05)
            assert asked_for_models(provider) == 0
            assert container.provider_health()[0].answered > 5


async def test_without_watching_or_with_interval_0_nobody_is_looked_at_unless_asked(tmp_path: Path) -> None:
    async with FakeProvider() as provider:
        where = configured(tmp_path, provider, {"interval": 0})
        async with LLMContainer.aopen(where) as container:
            found = await asyncio.gather(*(container.check_providers() for _ in range(5)))
            assert [each[0].reachable for each in found] == [True] * 5
            assert asked_for_models(provider) == 1
        with pytest.raises(ClientRemovedError):
            await container.check_providers()
        configured(tmp_path, provider, {"interval": 0.05})
        async with LLMContainer.aopen(where, watch=False):
            await asyncio.to_thread(threading.Event().wait, 0.09)
        assert asked_for_models(provider) == 1


async def test_a_refused_key_is_told_with_its_place_and_without_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    refused = HttpReply(401, {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}})
    async with FakeProvider(*(refused,) * 3) as provider:
        where = configured(tmp_path, provider, {"interval": 0})
        async with LLMContainer.aopen(where, watch=False) as container:
            (looked,) = await container.check_providers("server")
            assert (looked.state, looked.reachable) == ("unhealthy", False)
            assert "providers.server.api_key" in looked.recommendations[0]
            with pytest.raises(LLMError):
                await container.llm_client("planner").generate(HI)
            (health,) = container.provider_health()
            assert health.targets[0].reasons == ("credentials",)
            assert health.targets[0].last_error == "AUT001"
            everything = repr(container.health()) + json.dumps(container.health().to_dict()) + caplog.text
    assert "canary" not in everything


async def test_a_server_that_hangs_holds_up_neither_calls_nor_the_end(tmp_path: Path) -> None:
    def says(request: object) -> RawReply:
        return RawReply(30.0)

    async with FakeProvider(*(says,) * 50) as provider:
        where = configured(tmp_path, provider, {"interval": 0.02, "timeout": 10})
        async with LLMContainer.aopen(where) as container:
            await until(lambda: asked_for_models(provider) == 1)
            began = asyncio.get_running_loop().time()
            assert container.provider_health()[0].reachable is None
        assert asyncio.get_running_loop().time() - began < 2
        assert asked_for_models(provider) == 1


async def test_a_reload_changes_whom_the_background_looks_at(tmp_path: Path) -> None:
    async with FakeProvider() as first, FakeProvider() as second:
        where = configured(tmp_path, first, {"interval": 0.03})
        async with LLMContainer.aopen(where) as container:
            await until(lambda: asked_for_models(first) > 0)
            await asyncio.to_thread(configured, tmp_path, second, {"interval": 0.03})
            await until(lambda: asked_for_models(second) > 0 and container.provider_health()[0].reachable is True)


def test_a_container_that_is_dropped_ends_its_looks(tmp_path: Path) -> None:
    before = threading.active_count()
    container = LLMContainer.open(folder(tmp_path))
    assert container.provider_health()[0].provider == "offline"
    del container
    with pytest.warns(ResourceWarning, match="dropped without close"):
        gc.collect()
    end = threading.Event()
    assert any(threading.active_count() <= before or end.wait(0.01) for _ in range(500))


async def test_the_manager_asks_any_model_and_tells_true_rates(tmp_path: Path) -> None:
    providers: Mapping[str, JSON] = {
        "ill": {"type": "mock", "script": [{"error": "server", "repeat": True}]},
        "well": {"type": "mock", "script": [{"text": "Hello.", "repeat": True}]},
    }
    models: Mapping[str, JSON] = {
        "bad": {"provider": "ill", "model": "bad", "retry": {"attempts": 1}},
        "good": {"provider": "well", "model": "good"},
    }
    where = folder(tmp_path, providers=providers, models=models, clients={"planner": {"models": ["bad", "good"]}})
    async with LLMContainer.aopen(where, watch=False) as container:
        manager = container.resolve(ProviderManager)
        answer = await manager.generate_with_intelligent_fallback(HI)
        assert (answer.text, answer.provider, answer.model) == ("Hello.", "well", "good")
        assert [step.target for step in answer.steps if step.layer == "attempt"] == ["ill/bad", "well/good"]
        only = await manager.generate_with_intelligent_fallback(HI, models=["good"])
        assert only.provider == "well"
        stats = manager.get_provider_stats()
        assert (stats.overall.answered, stats.overall.failed, stats.overall.success_rate) == (2, 1, 2 / 3)
        assert stats.providers["ill"].success_rate == 0.0
        assert [health.provider for health in manager.get_provider_health()] == ["ill", "well"]
        assert [health.reachable for health in await manager.check_provider_health()] == [True, True]
    with pytest.raises(ClientRemovedError):
        await manager.generate_with_intelligent_fallback(HI)
