"""A real engine without tools gets them: its grammar holds every answer to a call, whatever the weights say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from loomwire.container.facade import LLMContainer
from loomwire.domain.messages import Message, ToolResult
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.requests import LLMRequest, Parameters
from loomwire.domain.responses import LLMResponse
from loomwire.domain.tools import Tool, ToolNamed
from loomwire.domain.values import JSON
from support.folders import folder
from support.llama import Box, provider

CITY: JSON = {"type": "string", "enum": ["Rome", "Oslo"]}
WEATHER = Tool(
    "weather",
    "Tells the weather.",
    {"type": "object", "properties": {"city": CITY}, "required": ["city"], "additionalProperties": False},
)
DICE = Tool(
    "dice",
    "Rolls.",
    {
        "type": "object",
        "properties": {"sides": {"$ref": "#/$defs/sides"}},
        "required": ["sides"],
        "additionalProperties": False,
        "$defs": {"sides": {"type": "integer", "enum": [6, 20]}},
    },
)


@pytest.fixture(params=["llamacpp", "local"])
async def client(request: pytest.FixtureRequest, models: Path, box: Box, tmp_path: Path) -> AsyncIterator[ILLMClient]:
    """Give a model that says it has no tools and keeps to a schema, over a server and in the process."""
    said: dict[str, JSON] = {"tools": False, "json_schema": True}
    config = folder(
        tmp_path,
        clients={"it": {"models": ["it"]}},
        providers={"plain": provider(str(request.param), "plain", models, box)},
        models={"it": {"provider": "plain", "model": "plain", "capabilities": said}},
    )
    async with LLMContainer.aopen(config) as container:
        yield container.llm_client("it")


def asked(seed: int, *tools: Tool) -> LLMRequest:
    parameters = Parameters(seed=seed, max_tokens=400)
    return replace(LLMRequest.of("Hello?", tools=tools, deadline_s=20, parameters=parameters), tool_choice="required")


async def told(client: ILLMClient, request: LLMRequest, *, stream: bool) -> LLMResponse[str]:
    if not stream:
        return await client.generate(request)
    async with client.stream(request) as events:
        async for _ in events:
            pass
        return events.response


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_grammar_makes_calls_of_known_tools_with_right_arguments(
    client: ILLMClient, seed: int, stream: bool
) -> None:
    answer = await told(client, asked(seed, WEATHER, DICE), stream=stream)
    assert answer.emulated
    assert answer.tool_calls
    whole = answer.tool_calls[:-1] if answer.finish == "length" else answer.tool_calls
    for call in whole:
        right = [{"city": "Rome"}, {"city": "Oslo"}] if call.name == "weather" else [{"sides": 6}, {"sides": 20}]
        assert call.arguments in right
    assert answer.finish == ("tool_calls" if whole == answer.tool_calls else "length")
    assert answer.text == ""
    assert answer.usage.output_tokens > 0


async def test_results_go_back_as_text_and_a_named_tool_is_the_only_one(client: ILLMClient) -> None:
    first = await told(client, asked(1, WEATHER), stream=False)
    results = Message.tool(*(ToolResult(call.id, "28 degrees", call.name) for call in first.tool_calls))
    second = replace(asked(2, WEATHER, DICE).extended(first.message, results), tool_choice=ToolNamed("dice"))
    answer = await told(client, second, stream=True)
    assert {call.name for call in answer.tool_calls} == {"dice"}


async def test_an_answer_that_may_call_ends_in_text_or_calls_of_known_tools(client: ILLMClient) -> None:
    for seed in range(4):
        free = replace(asked(seed, WEATHER), tool_choice="auto", parameters=Parameters(seed=seed, max_tokens=200))
        answer = await told(client, free, stream=bool(seed % 2))
        assert {call.name for call in answer.tool_calls} <= {"weather"}
        assert answer.emulated
