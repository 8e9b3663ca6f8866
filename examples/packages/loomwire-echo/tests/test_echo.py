"""Echo keeps loomwire's contract, survives its faults, and is found by its name alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from typing_extensions import override

from loomwire import (
    CapabilityError,
    ILLMClient,
    LLMConfig,
    LLMContainer,
    LLMError,
    LLMRequest,
    LLMResponse,
    Message,
    OutputSpec,
    Parameters,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
)
from loomwire.domain.policies import RetryPolicy
from loomwire.domain.ports.pool import IConnectionPool
from loomwire.testing import FAULTS, Failure, FakeProvider, Fault, Reply
from loomwire.testing.contracts.client import ClientContract
from loomwire.testing.speaking import REFUSALS

SPEAKERS = ("loomwire_echo.speaker:EchoSpeaker",)
WEATHER = Tool("weather", "Tells the weather.", {"type": "object", "properties": {"city": {"type": "string"}}})
PROMPT = "Hello, canyon, what do you say to that?"
USAGE = Usage(120, 34, cache_read_tokens=20, reasoning_tokens=4)


def target(provider: FakeProvider) -> LLMConfig:
    # Once, so that every fault shows how it ends and not how the next attempt does.
    once = RetryPolicy(attempts=1)
    return LLMConfig.of(
        "echo", "canyon-1", api_key="echo-key-1234", base_url=provider.base_url, allow_private=True, retry=once
    )


@asynccontextmanager
async def echoing(provider: FakeProvider) -> AsyncGenerator[tuple[ILLMClient, IConnectionPool]]:
    clients = {"it": target(provider)}
    async with await asyncio.to_thread(LLMContainer.of, clients) as container:
        yield container.llm_client("it"), container.resolve(IConnectionPool)


async def asked(client: ILLMClient, request: LLMRequest, *, stream: bool) -> LLMResponse[str]:
    if not stream:
        return await client.generate(request)
    async with client.stream(request) as events:
        async for _ in events:
            pass
        return events.response


class TestEcho(ClientContract):
    """The public contract of every client, over the whole chain and a real socket."""

    obeys_deadline_s = True
    pool: IConnectionPool

    @override
    @asynccontextmanager
    async def client_answering(self, *replies: Reply) -> AsyncGenerator[ILLMClient]:
        async with (
            FakeProvider(*replies[:-1], then=replies[-1], speakers=SPEAKERS) as provider,
            echoing(provider) as (client, self.pool),
        ):
            yield client

    @override
    def in_use(self, client: ILLMClient) -> int:
        return self.pool.get_stats().active


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("fault", [name for name, kind in FAULTS.items() if kind.play is not None])
def test_every_fault_ends_in_a_right_answer_or_a_typed_error(fault: str, stream: bool) -> None:
    calls = tuple(ToolCall(f"call_{n}", "weather", {"city": n}) for n in ("first", "second"))
    reply = Reply("The canyon answers, as it always does.", tool_calls=calls if "call" in fault else (), usage=USAGE)

    async def play() -> None:
        async with (
            FakeProvider(Fault(fault, reply), then="And again.", speakers=SPEAKERS) as provider,
            echoing(provider) as (client, pool),
        ):
            request = LLMRequest.of(PROMPT, tools=[WEATHER], deadline_s=0.8)
            try:
                answer = await asked(client, request, stream=stream)
            except LLMError as error:
                told = repr(error.to_dict())
            else:
                told = ""
                assert answer.text == Fault(fault, reply).said
                assert [call.arguments for call in answer.tool_calls] == [call.arguments for call in reply.tool_calls]
                assert answer.usage.estimated or not answer.usage.known or answer.usage.input_tokens == 120
            assert PROMPT not in told
            assert "echo-key-1234" not in told
            again = await asked(client, replace(request, deadline_s=10.0), stream=False)
            assert again.text == "And again."
            assert pool.get_stats().active == 0

    if FAULTS[fault].spoils(stream=stream):
        asyncio.run(play())


@pytest.mark.parametrize("reason", REFUSALS)
def test_every_refusal_is_told_by_its_reason(reason: str) -> None:
    async def play() -> None:
        failure = Reply(failure=Failure(reason, retry_after=2.0 if reason == "throttled" else None))
        async with FakeProvider(failure, speakers=SPEAKERS) as provider, echoing(provider) as (client, _):
            with pytest.raises(LLMError) as caught:
                await client.generate(LLMRequest.of("Hi"))
            assert caught.value.reason == reason

    asyncio.run(play())


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_tool_round_trip_takes_the_sealed_thinking_back(stream: bool) -> None:
    async def play() -> None:
        first = Reply("I look.", reasoning="Hm.", signature="seal-1", tool_calls=(ToolCall("k", "weather", {}),))
        async with FakeProvider(first, then="Rain.", speakers=SPEAKERS) as provider:
            async with echoing(provider) as (client, _):
                request = LLMRequest.of("Weather?", system="Be brief.", tools=[WEATHER], parameters=Parameters(0.5))
                answer = await asked(client, request, stream=stream)
                result = Message.tool(ToolResult("k", {"sky": "grey"}, "weather"))
                await asked(client, request.extended(answer.message, result), stream=stream)
            (_, second) = provider.requests
            body = second.json
            assert isinstance(body, dict)
            assert body["turns"] == [
                {"who": "rules", "say": [{"text": "Be brief."}]},
                {"who": "human", "say": [{"text": "Weather?"}]},
                {
                    "who": "machine",
                    "say": [
                        {"thought": {"text": "Hm.", "seal": "seal-1"}},
                        {"text": "I look."},
                        {"call": {"key": "k", "tool": "weather", "with": {}}},
                    ],
                },
                {"who": "tool", "say": [{"result": {"key": "k", "value": {"sky": "grey"}, "failed": False}}]},
            ]
            assert (body["warmth"], body["choose"], second.headers["x-echo-key"]) == (0.5, "auto", "echo-key-1234")

    asyncio.run(play())


def test_what_echo_cannot_do_is_refused_before_it_is_sent() -> None:
    async def play() -> None:
        async with FakeProvider(speakers=SPEAKERS) as provider, echoing(provider) as (client, _):
            with pytest.raises(CapabilityError):
                await client.generate(LLMRequest.of("Hi", output=OutputSpec({"type": "object"})))
            assert provider.requests == ()

    asyncio.run(play())


def test_a_configuration_needs_nothing_but_the_name(tmp_path: Path) -> None:
    async def play() -> None:
        async with FakeProvider(then="Echo!", speakers=SPEAKERS) as provider:
            canyon = {"type": "echo", "base_url": provider.base_url, "api_key": "k", "allow_private": True}
            settings: dict[str, object] = {
                "version": 1,
                "providers": {"canyon": canyon},
                "models": {"deep": {"provider": "canyon", "model": "canyon-1"}},
                "clients": {"caller": {"models": ["deep"]}},
            }
            (tmp_path / "loomwire.yaml").write_text(json.dumps(settings), encoding="utf-8")
            async with LLMContainer.aopen(tmp_path, watch=False) as container:
                assert (await container.llm_client("caller").generate(LLMRequest.of("Hi"))).text == "Echo!"

    asyncio.run(play())
