"""A model behind Bedrock that thinks and calls tools gets its signed thinking back as it was, over real sockets."""

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
    calls = (ToolCall("tooluse_1", "look", {"city": "Rome"}), ToolCall("tooluse_2", "look", {"city": "Oslo"}))
    first = Reply("Let me see.", calls, "Two cities. Two looks.", signature=SIGNATURE)
    pool = ConnectionPool()
    async with FakeProvider(first, "Rome is warmer.") as provider:
        place = provider.base_url.removesuffix("/v1")
        config = LLMConfig.bedrock("anthropic.claude-v9:0", api_key="k", base_url=place, allow_private=True)
        client = ClientFactory(pool, SystemClock()).create(config)
        request = LLMRequest.of("Which is warmer?", tools=[LOOK])
        answer = await ask(client, request, stream=stream)
        results = [ToolResult(call.id, {"celsius": at}, is_error=at == 1) for at, call in enumerate(answer.tool_calls)]
        last = await ask(client, request.extended(answer.message, Message.tool(*results)), stream=stream)
        assert (last.text, last.request_id) == ("Rome is warmer.", provider.requests[-1].id)
        *_, assistant, user = json.loads(provider.requests[-1].body)["messages"]
        assert assistant == {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "Two cities. Two looks.", "signature": SIGNATURE}}},
                {"text": "Let me see."},
                {"toolUse": {"toolUseId": "tooluse_1", "name": "look", "input": {"city": "Rome"}}},
                {"toolUse": {"toolUseId": "tooluse_2", "name": "look", "input": {"city": "Oslo"}}},
            ],
        }
        assert user["content"] == [
            {"toolResult": {"toolUseId": "tooluse_1", "content": [{"text": '{"celsius":0}'}]}},
            {"toolResult": {"toolUseId": "tooluse_2", "content": [{"text": '{"celsius":1}'}], "status": "error"}},
        ]
        assert provider.requests[-1].headers["authorization"] == "Bearer k"
        kind = "converse-stream" if stream else "converse"
        assert provider.requests[-1].path == f"/model/anthropic.claude-v9%3A0/{kind}"
    await pool.aclose()
