"""Agents of a container over real sockets, in two dialects: tools, signatures, failures, deadlines, reloads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from examples import agent as agent_example
from loomwire import LLMContainer, LLMRequest
from loomwire.application.agents.binding.bound import ToolPolicy
from loomwire.application.agents.executor import AgentExecutor
from loomwire.application.agents.limits import AgentLimits
from loomwire.domain.errors import LLMRateLimitError, LLMTimeoutError, LLMValidationError, UnknownNameError
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.values import ToolCall
from loomwire.testing import FakeProvider, Fault, Reply

CONFIG = """\
version: 1
providers:
  llm: {{type: {type}, base_url: "{url}", api_key: k, allow_private: true}}
models:
  m: {{provider: llm, model: m{prices}, capabilities: {{tools: true}}}}
clients:
  guide: {{models: [m], system: "{system}", retry: {{attempts: 2}}, timeouts: {{total: 5}}}}
defaults: {{retry: {{base: 0.01, max_delay: 0.02}}}}
"""
OFFLINE = """\
version: 1
providers:
  p: {type: mock, script: [{tool_calls: [{name: look, arguments: {city: Rome}}]}, {text: A hat.}]}
models: {m: {provider: p, model: m}}
clients: {guide: {models: [m]}}
"""
ASK = LLMRequest.of("What should I wear in Rome?")
LOOK = Reply("Let me see.", (ToolCall("t1", "look", {"city": "Rome"}),), "Rome, then.", signature="c2ln")
COAT = Reply("A coat.")


async def look(city: str) -> str:
    """Look out of the window."""
    return f"Sunny in {city}."


def written(
    folder: Path, provider: FakeProvider, kind: str = "openai", prices: str = "", system: str = "Be brief."
) -> None:
    """Write the configuration for one provider."""
    text = CONFIG.format(type=kind, url=provider.base_url, prices=prices, system=system)
    (folder / "llm.yaml").write_text(text, encoding="utf-8")


@asynccontextmanager
async def world(
    folder: Path, *replies: Reply | Fault, kind: str = "openai", prices: str = ""
) -> AsyncGenerator[tuple[LLMContainer, FakeProvider]]:
    """Open a provider, and a container that knows it."""
    async with FakeProvider(*replies) as provider:
        await asyncio.to_thread(written, folder, provider, kind, prices)
        async with LLMContainer.aopen(folder, watch=False) as container:
            # At start, as a host does: the first schema makes pydantic read files.
            await asyncio.to_thread(container.tool, look)
            yield container, provider


def sent(provider: FakeProvider) -> list[Mapping[str, object]]:
    """Return the bodies of all requests."""
    return [json.loads(request.body) for request in provider.requests]


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_an_agent_looks_and_answers_in_the_words_of_its_vendor(kind: str, tmp_path: Path) -> None:
    async with world(tmp_path, LOOK, COAT, kind=kind) as (container, provider):
        run = await container.agent("guide", look).run(ASK)
        assert (run.output, run.ended) == ("A coat.", "answered")
        assert [step.layer for step in run.steps] == ["attempt", "tool", "attempt"]
        assert run.usage.total_tokens > 0
        first, second = sent(provider)
        assert "Sunny in Rome." in json.dumps(second)
        assert "look" in json.dumps(first["tools"])
        assert first["tools"] == second["tools"]


async def test_signed_thinking_goes_back_unchanged(tmp_path: Path) -> None:
    async with world(tmp_path, LOOK, COAT, kind="anthropic") as (container, provider):
        await container.agent("guide", look).run(ASK)
        messages = sent(provider)[1]["messages"]
        assert isinstance(messages, list)
        assert messages[1]["content"] == [
            {"type": "thinking", "thinking": "Rome, then.", "signature": "c2ln"},
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "t1", "name": "look", "input": {"city": "Rome"}},
        ]
        assert messages[2]["content"][0]["tool_use_id"] == "t1"


async def test_a_failure_between_two_answers_is_retried_and_the_tool_is_not(tmp_path: Path) -> None:
    looked: list[str] = []

    async def once(city: str) -> str:
        looked.append(city)
        return "Sunny."

    call = Reply(tool_calls=(ToolCall("t1", "once", {"city": "Rome"}),))
    async with world(tmp_path, call, Fault("reset"), COAT) as (container, provider):
        run = await container.agent("guide", once).run(ASK)
        assert (run.output, looked, len(provider.requests)) == ("A coat.", ["Rome"], 3)


async def test_an_agent_whose_model_stays_away_says_what_it_spent(tmp_path: Path) -> None:
    busy = Fault("status", status=429, retry_after=60)
    prices = ", prices: {input_usd_per_mtok: 1, output_usd_per_mtok: 2}"
    async with world(tmp_path, LOOK, busy, prices=prices) as (container, _):
        with pytest.raises(LLMRateLimitError) as caught:
            await container.agent("guide", look).run(ASK)
        spent = caught.value.metadata["spent"]
        assert isinstance(spent, Mapping)
        assert spent["answers"] == 1
        assert Decimal(str(spent["cost_usd"])) > 0


async def test_one_deadline_ends_a_slow_tool_and_nothing_is_left(tmp_path: Path) -> None:
    async def slow(city: str) -> str:
        await asyncio.Event().wait()
        return city

    call = Reply(tool_calls=(ToolCall("t1", "slow", {"city": "Rome"}),))
    async with world(tmp_path, call) as (container, _):
        before = asyncio.all_tasks()
        with pytest.raises(LLMTimeoutError, match="deadline"):
            await container.agent("guide", slow).run(LLMRequest.of("Go.", deadline_s=0.15))
        assert asyncio.all_tasks() == before


async def test_a_cost_limit_needs_prices_and_nothing_is_sent_without(tmp_path: Path) -> None:
    async with world(tmp_path, COAT) as (container, provider):
        with pytest.raises(LLMValidationError, match="costs"):
            await container.agent("guide", look, limits=AgentLimits(cost_usd=Decimal(1))).run(ASK)
        assert len(provider.requests) == 0


async def test_a_run_stays_on_the_configuration_it_began_with_and_the_next_sees_the_edit(tmp_path: Path) -> None:
    async with world(tmp_path, LOOK, COAT, COAT) as (container, provider):

        async def edit(city: str) -> str:
            await asyncio.to_thread(written, tmp_path, provider, system="Be verbose.")
            return (await container.areload()).outcome

        tools = container.tool_pipeline(container.tool(edit, name="look"))
        agent = AgentExecutor(container.resolve(ILLMClient, "guide"), tools)
        first = await agent.run(ASK)
        assert first.turns[0].outcomes[0].result.content == "adopted"
        await agent.run(ASK)
        texts = [json.dumps(body["messages"]) for body in sent(provider)]
        assert ["Be brief." in text for text in texts] == [True, True, False]


async def test_a_container_binds_tools_with_a_name_a_text_and_a_policy(tmp_path: Path) -> None:
    async with world(tmp_path) as (container, _):
        tool = container.tool(look, name="peek", description="Peek.", policy=ToolPolicy(timeout_s=3))
        assert (tool.name, tool.tool.description, tool.policy.timeout_s) == ("peek", "Peek.", 3)
        pipeline = container.tool_pipeline(tool, look, concurrency=2, on_error="raise")
        assert repr(pipeline) == "ToolPipeline(peek, look)"
        with container.pinned() as run:
            assert repr(run.agent("guide", tool)).startswith("AgentExecutor(ToolPipeline(peek)")
        with pytest.raises(UnknownNameError):
            container.agent("nobody", look)


def test_blocking_hosts_run_agents_too(tmp_path: Path) -> None:
    (tmp_path / "llm.yaml").write_text(OFFLINE, encoding="utf-8")
    with LLMContainer.open(tmp_path, watch=False) as container:
        agent = container.sync_agent("guide", look, limits=AgentLimits(steps=3))
        assert agent.run(ASK).output == "A hat."


def test_the_example_runs_as_it_says() -> None:
    assert agent_example.main() == [
        "step_limit: weather, trains not run",
        "weather answered: {'city': 'Rome', 'rain_mm': 4.5}",
        "trains failed: The tool failed: there are no trains to this city",
        "Take a coat: it rains, and the train leaves at 9:10.",
    ]
