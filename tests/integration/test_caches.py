"""What a configuration keeps, end to end: a real server counts what is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from loomwire import ILLMClient, LLMContainer, LLMRequest, Parameters
from loomwire.domain.errors import LLMError
from loomwire.domain.pricing import FREE, Cost
from loomwire.domain.requests import CacheMode
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.manager import ProviderManager
from loomwire.testing import FakeProvider, HttpReply, Reply
from loomwire.testing.queued import After
from support.folders import folder

HI = LLMRequest.of("Tell me about weaving.")
STEADY = replace(HI, parameters=Parameters(temperature=0))


def written(where: Path, provider: FakeProvider, clients: Mapping[str, JSON], **sections: JSON) -> Path:
    """Write a configuration whose clients ask a server for money."""
    vendor: Mapping[str, JSON] = {
        "type": "custom",
        "dialect": "openai_chat",
        "base_url": provider.base_url,
        "allow_private": True,
        "retry": {"attempts": 1},
    }
    prices: Mapping[str, JSON] = {"input_usd_per_mtok": 100, "output_usd_per_mtok": 100}
    quick: Mapping[str, JSON] = {"provider": "vendor", "model": "m", "prices": prices}
    models: Mapping[str, JSON] = {"quick": quick, "wild": {**quick, "parameters": {"temperature": 1}}}
    return folder(where, (), clients=clients, model=None, providers={"vendor": vendor}, models=models, **sections)


@asynccontextmanager
async def opened(
    where: Path, provider: FakeProvider, said: Mapping[str, JSON] | None = None, **sections: JSON
) -> AsyncGenerator[LLMContainer]:
    """Open a container whose client `planner` says something."""
    clients: Mapping[str, JSON] = {"planner": {"models": ["quick"], **(said or {})}}
    path = await asyncio.to_thread(written, where, provider, clients, **sections)
    async with LLMContainer.aopen(path, watch=False) as container:
        yield container


async def test_deterministic_questions_are_sent_once_without_a_word_of_configuration(tmp_path: Path) -> None:
    async with FakeProvider(then=Reply("Threads.")) as provider, opened(tmp_path, provider) as container:
        client = container.resolve(ILLMClient, "planner")
        first, again = await client.generate(STEADY), await client.generate(STEADY)
        assert (first.cached, again.cached, again.text) == (False, True, "Threads.")
        assert (again.cost, again.usage.total_tokens, again.request_id) == (FREE, 0, first.request_id)
        assert [step.layer for step in again.steps] == ["cache"]
        others = [await client.generate(HI), await client.generate(HI)]
        assert [other.cached for other in others] == [False, False]
        assert provider.stats.requests == 3
        totals = container.health().clients["planner"]
        spent = [each.cost.micro_usd for each in (first, *others) if isinstance(each.cost, Cost)]
        assert (totals.answered, totals.cost_micro_usd) == (4, sum(spent))


@pytest.mark.parametrize(
    ("mode", "said", "sent"), [("use", {}, 1), ("off", {}, 2), ("refresh", {}, 2), ("use", {"cache": "off"}, 2)]
)
async def test_a_request_chooses_as_far_as_the_operator_lets_it(
    tmp_path: Path, mode: CacheMode, said: Mapping[str, JSON], sent: int
) -> None:
    async with FakeProvider(then=Reply("Threads.")) as provider, opened(tmp_path, provider, said) as container:
        client = container.resolve(ILLMClient, "planner")
        for _ in range(2):
            await client.generate(replace(HI, cache=mode))
        assert provider.stats.requests == sent


@pytest.mark.parametrize(("mode", "sent"), [("off", 2), ("deterministic_only", 1)])
async def test_what_the_operator_says_of_all_clients_holds_for_the_group_of_all_models_too(
    tmp_path: Path, mode: str, sent: int
) -> None:
    defaults: Mapping[str, JSON] = {"cache": {"mode": mode}}
    async with FakeProvider() as provider, opened(tmp_path, provider, defaults=defaults) as container:
        manager = container.resolve(ProviderManager)
        for _ in range(2):
            await manager.generate_with_intelligent_fallback(STEADY)
        assert provider.stats.requests == sent


async def test_a_purge_reaches_what_is_on_its_way(tmp_path: Path) -> None:
    async with FakeProvider() as provider, opened(tmp_path, provider) as container:
        client, gate = container.resolve(ILLMClient, "planner"), asyncio.Event()
        provider.queue(After(gate, "Old."), "New.")
        early = asyncio.create_task(client.generate(STEADY))
        await provider.until(lambda stats: stats.requests == 1)
        await container.caches.purge("planner")
        assert (await client.generate(STEADY)).text == "New."
        gate.set()
        assert (await early).text == "Old."
        again = await client.generate(STEADY)
        assert (again.text, again.cached) == ("New.", True)


async def test_of_one_model_that_is_asked_in_two_ways_the_second_never_answers_for_the_first(tmp_path: Path) -> None:
    asked: Mapping[str, JSON] = {"models": ["quick", "wild"], "cache": {"mode": "always"}}
    async with FakeProvider() as provider, opened(tmp_path, provider, asked) as container:
        client = container.resolve(ILLMClient, "planner")
        provider.queue(HttpReply(status=503), "Wild.")
        answers = [await client.generate(HI) for _ in range(2)]
        assert [answer.cached for answer in answers] == [False, False]


async def test_tenants_never_share_an_answer(tmp_path: Path) -> None:
    said: Mapping[str, JSON] = {"cache": {"mode": "always", "scope": "shared"}}
    async with FakeProvider(then=Reply("Threads.")) as provider, opened(tmp_path, provider, said) as container:
        client = container.resolve(ILLMClient, "planner")
        for tenant in (None, "", "a", "b", None, "", "a", "b"):
            await client.generate(replace(HI, tenant=tenant))
        assert provider.stats.requests == 4


async def test_answers_on_disk_survive_the_process_and_are_found_by_the_next_one(tmp_path: Path) -> None:
    disk: Mapping[str, JSON] = {"disk": {"path": "run/cache.sqlite"}}
    async with FakeProvider(then=Reply("Threads.")) as provider:
        async with opened(tmp_path, provider, cache=disk) as container:
            await container.resolve(ILLMClient, "planner").generate(STEADY)
        async with opened(tmp_path, provider, cache=disk) as container:
            again = await container.resolve(ILLMClient, "planner").generate(STEADY)
            assert (again.cached, again.steps[0].target) == (True, "disk")
            promoted = await container.resolve(ILLMClient, "planner").generate(STEADY)
            assert (promoted.cached, promoted.steps[0].target) == (True, "memory")
        assert provider.stats.requests == 1
    kept = tmp_path / "run" / "cache.sqlite"
    assert (kept.stat().st_mode & 0o777, b"weaving" in kept.read_bytes()) == (0o600, False)


async def test_an_edit_keeps_what_is_still_good_and_another_model_begins_anew(tmp_path: Path) -> None:
    async with FakeProvider(then=Reply("Threads.")) as provider, opened(tmp_path, provider) as container:
        client = container.resolve(ILLMClient, "planner")
        await client.generate(STEADY)

        async def edited(said: Mapping[str, JSON], **sections: JSON) -> bool:
            await asyncio.to_thread(written, tmp_path, provider, {"planner": {"models": ["quick"], **said}}, **sections)
            assert (await asyncio.to_thread(container.reload)).outcome == "adopted"
            return (await client.generate(STEADY)).cached

        assert await edited({"cache": {"ttl": 60}, "timeouts": {"total": 5}})
        assert await edited({}, defaults={"cache": {"l1_bytes": "2MiB"}})
        assert not await edited({"system": "Be brief."})
        assert not await edited({"cache": "off"})
        # What was kept for the client as it was is still there.
        assert await edited({})
        assert provider.stats.requests == 3


async def test_an_old_answer_stands_in_for_models_that_fail_and_says_so(tmp_path: Path) -> None:
    said: Mapping[str, JSON] = {"cache": {"mode": "always", "ttl": 0.001}, "on_exhausted": "stale_cache"}
    replies = (Reply("Threads."), HttpReply(status=503, body={"error": {"message": "busy"}}))
    async with FakeProvider(*replies) as provider, opened(tmp_path, provider, said) as container:
        client = container.resolve(ILLMClient, "planner")
        await client.generate(HI)
        while (late := await client.generate(HI)).steps[0].outcome == "hit":
            pass
        assert (late.text, late.degraded, late.cached) == ("Threads.", True, True)
        assert (late.steps[0].layer, late.steps[-1].layer, late.steps[-1].outcome) == ("attempt", "cache", "stale")
        totals = container.health().clients["planner"]
        assert totals.failed == 1


async def test_a_client_without_a_kept_answer_raises_what_its_models_said(tmp_path: Path) -> None:
    said: Mapping[str, JSON] = {"cache": "always", "on_exhausted": "stale_cache"}
    replies = HttpReply(status=503, body={"error": {"message": "busy"}})
    async with FakeProvider(then=replies) as provider, opened(tmp_path, provider, said) as container:
        with pytest.raises(LLMError) as caught:
            await container.resolve(ILLMClient, "planner").generate(HI)
        assert caught.value.status == 503


async def test_levels_that_no_client_has_any_more_are_closed(tmp_path: Path) -> None:
    disk: Mapping[str, JSON] = {"disk": {"path": "run/cache.sqlite"}}
    async with FakeProvider(then=Reply("Threads.")) as provider, opened(tmp_path, provider, cache=disk) as container:
        assert [level.level for level in container.cache_statistics().levels] == ["memory", "disk"]
        await asyncio.to_thread(written, tmp_path, provider, {"planner": {"models": ["quick"]}})
        await asyncio.to_thread(container.reload)
        assert [level.level for level in container.cache_statistics().levels] == ["memory"]
