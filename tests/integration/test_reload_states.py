"""What is known of targets lives through reloads of a real folder, and takes new numbers at once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from loomwire import LLMContainer
from loomwire.domain.errors import CircuitOpenError, LLMError, LLMTimeoutError
from loomwire.domain.values import JSON
from loomwire.testing import FakeProvider, Fault, Reply
from support.chains import HI
from support.folders import folder

DOWN = Fault("status", status=500)


def saved(where: Path, url: str, *, system: str = "", limits: JSON = None, rate: JSON = None) -> Path:
    """Write a configuration whose client asks a server once per call, and whose circuit opens after two failures."""
    provider: JSON = {
        "type": "custom",
        "dialect": "openai_chat",
        "base_url": url,
        "allow_private": True,
        "free": True,
        "retry": {"attempts": 1},
        "breaker": {"consecutive": 2, "open": 60},
    }
    # No call tries a circuit that is open, so that every one of them can be told.
    balance: JSON = {"panic_probe_per_s": 0}
    client: dict[str, JSON] = {"models": ["m"], "balance": balance, **({"system": system} if system else {})}
    models: JSON = {"m": {"provider": "near", "model": "m"}}
    defaults: JSON = {"rate": rate} if rate else {}
    near: JSON = {"near": provider}
    return folder(
        where, providers=near, models=models, clients={"planner": client}, limits=limits or {}, defaults=defaults
    )


def edited(where: Path, **words: JSON) -> None:
    """Change words of the provider."""
    file = where / "loomwire.yaml"
    said = json.loads(file.read_text(encoding="utf-8"))
    said["providers"]["near"].update(words)
    file.write_text(json.dumps(said), encoding="utf-8")


async def failing(container: LLMContainer, times: int) -> None:
    """Have calls fail at the server."""
    for _ in range(times):
        with pytest.raises(LLMError, match="TMP"):
            await container.llm_client("planner").generate(HI)


async def test_an_open_circuit_and_the_counts_live_through_a_reload(tmp_path: Path) -> None:
    async with FakeProvider(then=DOWN) as server:
        await asyncio.to_thread(saved, tmp_path, server.base_url)
        async with LLMContainer.aopen(tmp_path, watch=False) as container:
            await failing(container, 2)
            await asyncio.to_thread(saved, tmp_path, server.base_url, system="Be brief.")
            assert (await container.areload()).diff.changed == ("planner",)
            with pytest.raises(CircuitOpenError):
                await container.llm_client("planner").generate(HI)
            assert len(server.requests) == 2
            health = container.health()
            assert (health.clients["planner"].failed, health.targets["near/m"].failed) == (3, 2)


async def test_a_changed_threshold_acts_on_the_circuit_that_is_there(tmp_path: Path) -> None:
    async with FakeProvider(then=DOWN) as server:
        await asyncio.to_thread(saved, tmp_path, server.base_url)
        async with LLMContainer.aopen(tmp_path, watch=False) as container:
            await failing(container, 1)
            await asyncio.to_thread(edited, tmp_path, breaker={"consecutive": 3, "open": 60})
            await container.areload()
            # The first failure still counts, so two more are enough.
            await failing(container, 2)
            with pytest.raises(CircuitOpenError):
                await container.llm_client("planner").generate(HI)
            assert len(server.requests) == 3


async def test_a_changed_limit_acts_on_what_was_used_before_and_a_removed_one_holds_nobody(tmp_path: Path) -> None:
    def limited(rpm: int, queue: int) -> Path:
        rate: JSON = {"queue": queue, "burst_s": 60}
        return saved(tmp_path, server.base_url, limits={"near": {"rpm": rpm}}, rate=rate)

    async with FakeProvider(then=Reply("hi")) as server:
        await asyncio.to_thread(limited, 2, 0)
        async with LLMContainer.aopen(tmp_path, watch=False) as container:
            planner = container.llm_client("planner")
            for _ in range(2):
                await planner.generate(HI)
            with pytest.raises(LLMTimeoutError, match="too many calls wait"):
                await planner.generate(HI)
            await asyncio.to_thread(limited, 60_000, 5)
            await container.areload()
            await planner.generate(HI)
            (lane,) = container.wiring.target_states().slots.statistics().values()
            assert (lane.requests, lane.granted, lane.refused) == (3, 3, 1)
            await asyncio.to_thread(limited, 1, 0)
            await container.areload()
            with pytest.raises(LLMTimeoutError, match="too many calls wait"):
                await planner.generate(HI)
            await asyncio.to_thread(saved, tmp_path, server.base_url)
            await container.areload()
            await planner.generate(HI)
            assert len(server.requests) == 4


async def test_retries_that_were_spent_stay_spent(tmp_path: Path) -> None:
    async with FakeProvider(then=DOWN) as server:
        words: dict[str, JSON] = {
            "retry": {"attempts": 2, "base": 0},
            "retry_budget": {"ratio": 0, "floor_per_s": 0.001, "ttl": 1000, "last_resort_ratio": 0},
            "breaker": {"consecutive": 1000, "min_calls": 1000},
        }
        await asyncio.to_thread(saved, tmp_path, server.base_url)
        await asyncio.to_thread(edited, tmp_path, **words)
        async with LLMContainer.aopen(tmp_path, watch=False) as container:
            # The floor holds two retries and next to nothing comes back.
            await failing(container, 3)
            assert len(server.requests) == 5
            await asyncio.to_thread(edited, tmp_path, timeouts={"idle": 9})
            assert (await container.areload()).outcome == "adopted"
            await failing(container, 2)
            assert len(server.requests) == 7


async def test_a_target_that_comes_back_after_it_was_removed_begins_anew(tmp_path: Path) -> None:
    async with FakeProvider(then=DOWN) as server:
        await asyncio.to_thread(saved, tmp_path, server.base_url)
        async with LLMContainer.aopen(tmp_path, watch=False) as container:
            await failing(container, 2)
            await asyncio.to_thread(folder, tmp_path)
            await container.areload()
            assert [status.name for status in container.wiring.target_states().circuits.statuses()] == [
                "offline",
                "offline/helper",
            ]
            await asyncio.to_thread(saved, tmp_path, server.base_url)
            await container.areload()
            await failing(container, 2)
            assert len(server.requests) == 4
