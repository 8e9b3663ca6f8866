"""A real engine answers through our adapter over its Responses API: text, streams, tools, JSON and its refusals."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from loomwire.container.facade import LLMContainer
from loomwire.domain.errors import ContextLengthError, LLMError, LLMValidationError
from loomwire.domain.events import Finished, TextDelta, ToolCallEnd
from loomwire.domain.messages import Image, Message, ToolResult
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.tools import Tool, ToolNamed
from loomwire.domain.values import JSON
from support.llama import CONTEXT, Box, configured

WEATHER = Tool(
    name="weather",
    description="Tells the weather.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
SCHEMA: Mapping[str, JSON] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "count": {"type": "integer"}},
    "required": ["name", "count"],
    "additionalProperties": False,
}


@pytest.fixture(params=["llamacpp", "local"])
async def responding(
    request: pytest.FixtureRequest, models: Path, box: Box, tmp_path: Path
) -> AsyncIterator[LLMContainer]:
    """Give a container whose clients `plain`, `tools` and `endless` speak the Responses API."""
    folder = configured(tmp_path, str(request.param), models, box, dialect="openai_responses")
    async with LLMContainer.aopen(folder) as opened:
        yield opened


def client(container: LLMContainer, name: str) -> ILLMClient:
    return container.resolve(ILLMClient, name)


def asked(*said: str | Message, parameters: Parameters = Parameters(seed=1)) -> LLMRequest:
    return LLMRequest.of(*said, deadline_s=20, parameters=parameters)


async def test_a_whole_answer_has_text_usage_and_an_end(responding: LLMContainer) -> None:
    answer = await client(responding, "plain").generate(asked("Hello?"))
    assert (answer.finish, answer.finish_wire, answer.model) == ("stop", "completed", "plain")
    assert answer.usage.known
    assert answer.usage.input_tokens > 5
    assert answer.usage.output_tokens > 0
    assert answer.text
    assert (answer.response_id or "").startswith("resp_")


async def test_a_stream_says_the_same_as_the_whole_answer(responding: LLMContainer) -> None:
    one = client(responding, "plain")
    request = asked("Hello?", parameters=Parameters(temperature=0.0, max_tokens=40))
    whole = await one.generate(request)
    async with one.stream(request) as stream:
        events = [event async for event in stream]
        streamed = stream.response
    assert isinstance(events[-1], Finished)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == streamed.text == whole.text
    assert streamed.usage.output_tokens == whole.usage.output_tokens


async def test_the_limit_holds_though_the_server_does_not_say_that_it_struck(responding: LLMContainer) -> None:
    answer = await client(responding, "endless").generate(asked("Hello?", parameters=Parameters(max_tokens=7)))
    assert answer.usage.output_tokens == 7


async def test_a_stop_text_ends_the_answer(responding: LLMContainer) -> None:
    one = client(responding, "endless")
    free = (await one.generate(asked("Hello?", parameters=Parameters(seed=3, max_tokens=40)))).text
    # Not at once: an answer stopped before its first character has no output at all, and is refused.
    stop = next(letter for letter in free if letter != free[0])
    held = (await one.generate(asked("Hello?", parameters=Parameters(seed=3, max_tokens=40, stop=(stop,))))).text
    assert stop not in held
    assert free.startswith(held)


async def test_tool_calls_are_read_whole_and_from_fragments(responding: LLMContainer) -> None:
    one = client(responding, "tools")
    for choice in ("auto", "required", ToolNamed("weather")):
        request = replace(asked("Weather?"), tools=(WEATHER,), tool_choice=choice)
        request = replace(request, extra={"parallel_tool_calls": True})
        answer = await one.generate(request)
        async with one.stream(request) as stream:
            ended = [event.call async for event in stream if isinstance(event, ToolCallEnd)]
        assert answer.finish == stream.response.finish == "tool_calls"
        assert list(stream.response.tool_calls) == ended
        calls = [*answer.tool_calls, *ended]
        assert {call.name for call in calls} == {"weather"}
        assert len({call.id for call in calls}) == len(calls)
        assert all(isinstance((call.arguments or {}).get("city"), str) for call in calls)


async def test_a_round_of_tools_goes_on(responding: LLMContainer) -> None:
    one = client(responding, "tools")
    request = replace(asked("Weather?"), tools=(WEATHER,))
    answer = await one.generate(request)
    results = (ToolResult(call.id, {"celsius": 40}, call.name) for call in answer.tool_calls)
    again = await one.generate(replace(request.extended(answer.message, Message.tool(*results)), tool_choice="none"))
    assert again.usage.input_tokens > answer.usage.input_tokens


async def test_a_conversation_of_every_kind_is_accepted(responding: LLMContainer) -> None:
    said = (Message.system("Be brief."), Message.user("Hi"), Message.assistant("Hello."), Message.user("Go", "on"))
    answer = await client(responding, "plain").generate(asked(*said, parameters=Parameters(max_tokens=5)))
    assert answer.usage.output_tokens > 0


async def test_a_schema_and_json_mode_hold_the_answer(responding: LLMContainer) -> None:
    one = client(responding, "plain")
    request = replace(asked("An order"), output=OutputSpec(SCHEMA, "order"))
    answer = json.loads((await one.generate(request)).text)
    assert (type(answer["name"]), type(answer["count"])) == (str, int)
    async with one.stream(replace(request, output=OutputSpec())) as stream:
        async for _ in stream:
            pass
        assert isinstance(json.loads(stream.response.text), dict)


async def test_refusals_of_the_server_are_told_apart(responding: LLMContainer) -> None:
    one = client(responding, "plain")
    with pytest.raises(ContextLengthError):
        await one.generate(asked("long " * CONTEXT))
    with pytest.raises(LLMValidationError) as caught:
        await one.generate(replace(asked("Hi"), extra={"temperature": "hot"}))
    assert caught.value.status == 400


async def test_a_picture_reaches_a_model_that_cannot_see(responding: LLMContainer) -> None:
    with pytest.raises(LLMError, match="500"):
        await client(responding, "plain").generate(LLMRequest.of("Look", Image(data=b"\x89PNG"), deadline_s=5))
