"""The same real engine answers through our messages adapter: an independent server of Anthropic's dialect."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from loomwire.container.facade import LLMContainer
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ContextLengthError, LLMAuthenticationError, LLMProtocolError
from loomwire.domain.events import Finished, TextDelta, ToolCallEnd
from loomwire.domain.messages import Message, ToolResult
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.pricing import Cost
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.responses import LLMResponse
from loomwire.domain.tools import Tool, ToolNamed
from loomwire.domain.values import JSON
from support.llama import CONTEXT, NAMES, Box

WEATHER = Tool(
    name="weather",
    description="Tells the weather.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)

SCHEMA: Mapping[str, JSON] = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}


def config(box: Box, name: str, key: str | None = None) -> LLMConfig:
    """Return a target that speaks messages with one of the servers."""
    engine = box.engines[name]
    return LLMConfig(
        type="llamacpp",
        model=name,
        dialect="anthropic",
        base_url=engine.base_url,
        keys=(engine.key,) if key is None else LLMConfig.openai("m", api_key=key).keys,
        allow_private=True,
    )


@pytest.fixture
async def messages(box: Box) -> AsyncIterator[LLMContainer]:
    """Give a container whose clients `plain` and `tools` speak messages."""
    async with await asyncio.to_thread(LLMContainer.of, {name: config(box, name) for name in NAMES}) as container:
        yield container


def client(container: LLMContainer, name: str) -> ILLMClient:
    return container.resolve(ILLMClient, name)


async def test_a_stream_says_the_same_as_the_whole_answer(messages: LLMContainer) -> None:
    one = client(messages, "plain")
    parameters = Parameters(temperature=0.0, max_tokens=40)
    request = LLMRequest.of("Hello?", system="Be brief.", deadline_s=20, parameters=parameters)
    # Both answers are the engine's own.
    request = replace(request, cache="off")
    whole = await one.generate(request)
    async with one.stream(request) as stream:
        events = [event async for event in stream]
        streamed = stream.response
    assert isinstance(events[-1], Finished)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == streamed.text == whole.text
    assert whole.finish in ("stop", "length")
    assert (whole.complete, streamed.complete, whole.finish) == (True, True, streamed.finish)
    assert whole.usage.known
    assert streamed.usage.output_tokens == whole.usage.output_tokens > 0


async def test_an_answer_cut_by_its_limit_says_length(messages: LLMContainer) -> None:
    request = LLMRequest.of("Hello?", deadline_s=20, parameters=Parameters(max_tokens=2, temperature=0.0))
    answer = await client(messages, "plain").generate(request)
    assert (answer.finish, answer.finish_wire, answer.usage.output_tokens) == ("length", "max_tokens", 2)


async def test_a_tool_is_called_and_its_result_taken_back(messages: LLMContainer) -> None:
    one = client(messages, "tools")
    request = LLMRequest.of("Weather?", deadline_s=20, tools=[WEATHER])
    answer = await one.generate(request)
    assert answer.finish == "tool_calls"
    async with one.stream(request) as stream:
        ended = [event.call async for event in stream if isinstance(event, ToolCallEnd)]
    for call in (*answer.tool_calls, *ended):
        assert call.name == "weather"
        assert isinstance((call.arguments or {}).get("city"), str)
    results = [ToolResult(call.id, {"sunny": True}, is_error=False) for call in answer.tool_calls]
    again = await one.generate(request.extended(answer.message, Message.tool(*results)))
    assert again.complete


async def test_a_tool_that_must_be_called_is(messages: LLMContainer) -> None:
    request = LLMRequest((Message.user("Hello?"),), tools=(WEATHER,), tool_choice=ToolNamed("weather"), deadline_s=20)
    answer = await client(messages, "tools").generate(request)
    assert {call.name for call in answer.tool_calls} == {"weather"}


async def held(one: ILLMClient, request: LLMRequest) -> LLMResponse[str]:
    """Ask until the tool is called once: random weights often call it twice, which is no answer."""
    for _ in range(40):
        try:
            return await one.generate(request)
        except LLMProtocolError as error:
            if "given twice" not in error.message:
                raise
    raise AssertionError("the tool was never called once")


async def test_an_answer_is_held_to_a_schema_by_the_tool_that_must_be_called(messages: LLMContainer) -> None:
    one = client(messages, "tools")
    request = LLMRequest((Message.user("An order"),), output=OutputSpec(SCHEMA), deadline_s=20)
    for tools in ((), (WEATHER,)):
        answer = await held(one, replace(request, tools=tools, tool_choice="none" if tools else "auto"))
        assert isinstance(json.loads(answer.text)["name"], str)
        assert (answer.finish, answer.tool_calls) == ("stop", ())


async def test_a_conversation_longer_than_the_window_is_a_context_error(messages: LLMContainer) -> None:
    with pytest.raises(ContextLengthError) as caught:
        await client(messages, "plain").generate(LLMRequest.of("long " * CONTEXT, deadline_s=20))
    assert caught.value.status == 400


async def test_a_wrong_key_is_told_apart_and_not_repeated(box: Box) -> None:
    wrong = config(box, "plain", "canary-key-of-nobody")
    async with await asyncio.to_thread(LLMContainer.of, {"c": wrong}) as container:
        with pytest.raises(LLMAuthenticationError) as caught:
            await client(container, "c").generate(LLMRequest.of("Hello?", deadline_s=20))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
async def test_what_is_counted_beforehand_is_what_the_answer_used(messages: LLMContainer, name: str) -> None:
    request = LLMRequest.of(
        "What is a giant panda?", system="Be brief.", deadline_s=20, parameters=Parameters(max_tokens=2)
    )
    if name == "tools":
        request = replace(request, tools=(WEATHER,))
    counted = await messages.token_counter(name).count(request)
    answer = await client(messages, name).generate(request)
    assert counted.input_tokens == answer.usage.input_tokens > 0
    longer = await messages.token_counter(name).count(
        request.extended(Message.assistant("A bear."), Message.user("Go on."))
    )
    assert longer.input_tokens > counted.input_tokens


async def test_this_process_counts_on_the_server_that_answers(models: Path) -> None:
    config = replace(
        LLMConfig.local(str(models / "plain.gguf"), context=256, parallel=2, threads=1), dialect="anthropic"
    )
    async with await asyncio.to_thread(LLMContainer.of, {"plain": config}) as container:
        request = LLMRequest.of("Hello?", deadline_s=20, parameters=Parameters(max_tokens=2))
        counted = await container.token_counter("plain").count(request)
        assert counted.input_tokens == (await client(container, "plain").generate(request)).usage.input_tokens
        assert counted.input_cost == Cost(0)
