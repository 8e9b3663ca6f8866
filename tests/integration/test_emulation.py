"""Tools of a model that has none, over a real socket: Perplexity's row says so, and a configuration can."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from typing_extensions import override

from loomwire import CapabilityError, LLMConfig, LLMContainer, LLMError, LLMRequest, LLMResponse, Message, ToolResult
from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.events import Finished, TextDelta
from loomwire.domain.policies import RetryPolicy
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.ports.pool import IConnectionPool
from loomwire.domain.pricing import Cost, Prices, Usage
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON
from loomwire.testing import FakeProvider, Reply
from loomwire.testing.contracts.client import ClientContract
from loomwire.testing.contracts.client_claims.harness import QUESTION
from support.emulating import ASKED, CLOCK, WEATHER, call, enveloped, marked
from support.folders import folder

USAGE = Usage(100, 20)


def perplexity(base_url: str) -> LLMConfig:
    prices = Prices.per_mtok(Decimal(1), Decimal(2))
    return LLMConfig.of("perplexity", "sonar", api_key="k", base_url=base_url, allow_private=True, prices=prices)


def in_prose(base_url: str) -> LLMConfig:
    can = ModelCapabilities(supports_tools=False)
    once = RetryPolicy(attempts=1)
    return LLMConfig.vllm("m", base_url=base_url, allow_private=True, capabilities=can, retry=once)


@asynccontextmanager
async def client_of(config: LLMConfig) -> AsyncGenerator[tuple[ILLMClient, IConnectionPool]]:
    async with await asyncio.to_thread(LLMContainer.of, {"it": config}) as container:
        yield container.llm_client("it"), container.resolve(IConnectionPool)


async def asked(client: ILLMClient, request: LLMRequest, *, stream: bool) -> LLMResponse[str]:
    if not stream:
        return await client.generate(request)
    async with client.stream(request) as events:
        said = [event async for event in events]
        assert isinstance(said[-1], Finished)
        text = "".join(event.text for event in said if isinstance(event, TextDelta))
        assert text == events.response.text
        return events.response


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_tool_round_trip_on_perplexity_is_held_to_a_schema(stream: bool) -> None:
    first = Reply(enveloped(json.loads(call())), usage=USAGE)
    async with FakeProvider(first, then=Reply(enveloped(answer="Sunny.")), keep=10) as provider:
        async with client_of(perplexity(provider.base_url)) as (client, _):
            answer = await asked(client, ASKED, stream=stream)
            assert [(each.name, each.arguments) for each in answer.tool_calls] == [("weather", {"city": "Rome"})]
            assert (answer.finish, answer.emulated, answer.text) == ("tool_calls", True, "")
            assert (answer.usage.input_tokens, answer.usage.output_tokens) == (100, 20)
            assert isinstance(answer.cost, Cost)
            assert [step.layer for step in answer.steps] == ["emulated", "attempt"]
            results = Message.tool(*(ToolResult(each.id, "28 degrees", each.name) for each in answer.tool_calls))
            last = await asked(client, ASKED.extended(answer.message, results), stream=stream)
        assert (last.text, last.finish, last.tool_calls) == ("Sunny.", "stop", ())
        first_body, second_body = (request.json for request in provider.requests)
    assert isinstance(first_body, dict)
    assert isinstance(second_body, dict)
    assert "tools" not in first_body
    assert first_body["response_format"]["type"] == "json_schema"
    assert [message["role"] for message in second_body["messages"]] == ["system", "user", "assistant", "user"]
    assert "28 degrees" in second_body["messages"][3]["content"]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_tool_round_trip_in_prose(stream: bool) -> None:
    said = Reply(f"I look.\n{marked(call(), call('Oslo'))}", usage=USAGE)
    async with FakeProvider(said, then="Sunny in both.") as provider:
        async with client_of(in_prose(provider.base_url)) as (client, _):
            answer = await asked(client, ASKED, stream=stream)
            assert [each.id for each in answer.tool_calls] == ["call_1", "call_2"]
            assert answer.text == "I look.\n"
            results = Message.tool(*(ToolResult(each.id, "28 degrees", each.name) for each in answer.tool_calls))
            assert (
                await asked(client, ASKED.extended(answer.message, results), stream=stream)
            ).text == "Sunny in both."
        body = provider.requests[1].json
    assert isinstance(body, dict)
    assert "response_format" not in body


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_an_unknown_tool_is_a_typed_error_and_the_connection_is_given_back(stream: bool) -> None:
    async with (
        FakeProvider(then=marked(call(name="rm"))) as provider,
        client_of(in_prose(provider.base_url)) as (client, pool),
    ):
        with pytest.raises(LLMError, match="not given") as caught:
            await asked(client, ASKED, stream=stream)
        assert caught.value.reason == "protocol"
        assert pool.get_stats().active == 0


async def test_yaml_switches_emulation_off(tmp_path: Path) -> None:
    async with FakeProvider(then=marked(call())) as provider:
        model: dict[str, JSON] = {"provider": "p", "model": "m", "capabilities": {"tools": False}}
        config = folder(
            tmp_path,
            providers={"p": {"type": "openai", "api_key": "k", "base_url": provider.base_url, "allow_private": True}},
            models={"on": model, "off": {**model, "emulate_tools": False}},
            clients={"on": {"models": ["on"]}, "off": {"models": ["off"]}},
        )
        async with LLMContainer.aopen(config, watch=False) as container:
            assert (await container.llm_client("on").generate(ASKED)).emulated
            with pytest.raises(CapabilityError):
                await container.llm_client("off").generate(ASKED)


class TestEmulatedOverTheWire(ClientContract):
    """The whole chain with emulation in it keeps the contract of every client."""

    supports_tools = False
    obeys_deadline_s = True
    pool: IConnectionPool

    @override
    @asynccontextmanager
    async def client_answering(self, *replies: Reply) -> AsyncGenerator[ILLMClient]:
        async with (
            FakeProvider(*replies[:-1], then=replies[-1]) as provider,
            client_of(in_prose(provider.base_url)) as (client, self.pool),
        ):
            yield client

    @override
    def request(self, text: str = QUESTION, tools: Sequence[Tool] = ()) -> LLMRequest:
        return LLMRequest.of(text, tools=tools or [WEATHER, CLOCK])

    @override
    def in_use(self, client: ILLMClient) -> int:
        return self.pool.get_stats().active
