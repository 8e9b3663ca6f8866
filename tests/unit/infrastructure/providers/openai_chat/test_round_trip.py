"""Thinking that is signed goes back with the tool's result exactly as it came, over a real socket."""

from __future__ import annotations

import json

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.messages import Message, ToolResult
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.domain.tools import Tool
from loomwire.domain.values import ToolCall
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import FakeProvider, Reply

SIGNATURE = "EqQBCkgIARABGAIiQL8" * 40
THOUGHT = "The user wants the weather, so the tool is to be asked for Rome."
CALL = ToolCall("call_1", "look", {"city": "Rome"})
ASKED = LLMRequest.of("How is Rome?", tools=[Tool("look", "Looks.")])


async def answered(client: ILLMClient, request: LLMRequest, *, stream: bool) -> LLMResponse[str]:
    """Ask once, either way."""
    if not stream:
        return await client.generate(request)
    async with client.stream(request) as events:
        assert [event async for event in events]
        return events.response


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_the_second_request_holds_the_signature_of_the_first_answer(stream: bool) -> None:
    pool = ConnectionPool()
    async with FakeProvider(Reply("", (CALL,), reasoning=THOUGHT, signature=SIGNATURE), then="Sunny.") as provider:
        config = LLMConfig.of("openrouter", "m", base_url=provider.base_url, api_key="k", allow_private=True)
        client = ClientFactory(pool, SystemClock()).create(config)
        first = await answered(client, ASKED, stream=stream)
        assert "".join(part.text for part in first.reasoning) == THOUGHT
        said = Message.assistant(first.text, tool_calls=first.tool_calls, reasoning=first.reasoning)
        again = ASKED.extended(said, Message.tool(ToolResult("call_1", {"sun": True}, "look")))
        assert (await answered(client, again, stream=stream)).text == "Sunny."
        _, assistant, result = json.loads(provider.requests[-1].body)["messages"]
    await pool.aclose()
    (detail,) = assistant["reasoning_details"]
    assert (detail["signature"], detail["text"], detail["type"]) == (SIGNATURE, THOUGHT, "reasoning.text")
    assert assistant["tool_calls"][0]["id"] == result["tool_call_id"] == "call_1"
    assert result["content"] == '{"sun":true}'


async def test_what_one_vendor_signed_is_not_shown_to_another() -> None:
    pool = ConnectionPool()
    async with FakeProvider(Reply("", (CALL,), reasoning=THOUGHT, signature=SIGNATURE), then="Sunny.") as provider:
        factory = ClientFactory(pool, SystemClock())
        base = provider.base_url
        signing = LLMConfig.of("openrouter", "m", base_url=base, api_key="k", allow_private=True)
        first = await factory.create(signing).generate(ASKED)
        said = Message.assistant(first.text, tool_calls=first.tool_calls, reasoning=first.reasoning)
        again = ASKED.extended(said, Message.tool(ToolResult("call_1", "sun", "look")))
        for row in ("openai", "azure_openai", "mistral", "deepseek", "vllm", "groq"):
            other = LLMConfig.of(row, "m", base_url=base, api_key="k", allow_private=True)
            assert (await factory.create(other).generate(again)).text == "Sunny."
            assert SIGNATURE.encode() not in provider.requests[-1].body, row
    await pool.aclose()
