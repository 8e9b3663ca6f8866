"""A model that thinks, calls a tool and thinks on gets its signed thinking back as it was, over real sockets."""

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

LOOK = Tool("look", parameters={"type": "object", "properties": {"city": {"type": "string"}}})
SIGNATURE = "EoQDCm0IDhgCKkCDzGs2kL2PgnDCZU+/=="


async def ask(client: ILLMClient, request: LLMRequest, *, stream: bool) -> LLMResponse[str]:
    """Ask once, in one of both ways."""
    if not stream:
        return await client.generate(request)
    async with client.stream(request) as answering:
        assert [event async for event in answering]
        return answering.response


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_signed_thinking_goes_back_unchanged_with_the_tools_result(stream: bool) -> None:
    calls = (ToolCall("toolu_1", "look", {"city": "Rome"}), ToolCall("toolu_2", "look", {"city": "Oslo"}))
    first = Reply("Let me see.", calls, "Two cities. Two looks.", signature=SIGNATURE)
    pool = ConnectionPool()
    async with FakeProvider(first, "Rome is warmer.") as provider:
        config = LLMConfig.anthropic("claude", api_key="k", base_url=provider.base_url, allow_private=True)
        client = ClientFactory(pool, SystemClock()).create(config)
        request = LLMRequest.of("Which is warmer?", tools=[LOOK])
        answer = await ask(client, request, stream=stream)
        results = [ToolResult(call.id, {"celsius": place}) for place, call in enumerate(answer.tool_calls)]
        last = await ask(client, request.extended(answer.message, Message.tool(*results)), stream=stream)
        assert last.text == "Rome is warmer."
        *_, assistant, user = json.loads(provider.requests[-1].body)["messages"]
        assert assistant == {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Two cities. Two looks.", "signature": SIGNATURE},
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"city": "Rome"}},
                {"type": "tool_use", "id": "toolu_2", "name": "look", "input": {"city": "Oslo"}},
            ],
        }
        assert [block["tool_use_id"] for block in user["content"]] == ["toolu_1", "toolu_2"]
        assert provider.requests[-1].headers["x-api-key"] == "k"
        assert provider.requests[-1].headers["anthropic-version"] == "2023-06-01"
    await pool.aclose()
