"""A real engine answers through our adapter: text, streams, usage, tools, JSON and its refusals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from loomwire.container.facade import LLMContainer
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ContextLengthError, LLMAuthenticationError, LLMValidationError
from loomwire.domain.events import Finished, TextDelta, ToolCallEnd
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.pricing import Cost
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON
from support.llama import CONTEXT, Box

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


@dataclass(frozen=True)
class Order:
    """What the typed client is asked for."""

    name: str
    count: int
    urgent: bool


def asked(text: str = "Hello?", *, seed: int = 1, max_tokens: int | None = None) -> LLMRequest:
    return LLMRequest.of(text, deadline_s=20, parameters=Parameters(seed=seed, max_tokens=max_tokens))


def client(container: LLMContainer, name: str) -> ILLMClient:
    return container.resolve(ILLMClient, name)


async def test_a_whole_answer_has_text_usage_no_cost_and_an_end(container: LLMContainer) -> None:
    answer = await client(container, "plain").generate(asked())
    assert answer.finish == "stop"
    assert answer.complete
    assert answer.usage.known
    assert answer.usage.input_tokens > 5
    assert answer.usage.output_tokens > 0
    assert answer.cost == Cost(0)
    assert answer.model == "plain"


async def test_a_stream_says_the_same_as_the_whole_answer_of_the_same_seed(container: LLMContainer) -> None:
    one = client(container, "plain")
    request = LLMRequest.of("Hello?", deadline_s=20, parameters=Parameters(temperature=0.0, max_tokens=40))
    whole = await one.generate(request)
    async with one.stream(request) as stream:
        events = [event async for event in stream]
        streamed = stream.response
    assert isinstance(events[-1], Finished)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == streamed.text == whole.text
    assert streamed.usage.output_tokens == whole.usage.output_tokens


async def test_an_answer_cut_by_its_limit_says_length(container: LLMContainer) -> None:
    answer = await client(container, "endless").generate(asked(max_tokens=7))
    assert answer.finish == "length"
    assert answer.usage.output_tokens == 7


async def test_a_tool_call_is_read_whole_and_from_fragments(container: LLMContainer) -> None:
    one = client(container, "tools")
    request = LLMRequest.of("Weather?", deadline_s=20, tools=[WEATHER])
    for _ in range(5):
        answer = await one.generate(request)
        assert answer.finish == "tool_calls"
        async with one.stream(request) as stream:
            ended = [event.call async for event in stream if isinstance(event, ToolCallEnd)]
        calls = [*answer.tool_calls, *ended]
        assert {call.name for call in calls} == {"weather"}
        assert all(isinstance((call.arguments or {}).get("city"), str) for call in calls)
        assert list(stream.response.tool_calls) == ended


async def test_several_calls_of_one_answer_keep_their_order_and_ids(container: LLMContainer) -> None:
    one = client(container, "tools")
    counts = set()
    for seed in range(30):
        parameters = Parameters(seed=seed)
        request = LLMRequest.of("Weather?", deadline_s=20, tools=[WEATHER], parameters=parameters)
        request = replace(request, extra={"parallel_tool_calls": True})
        async with one.stream(request) as stream:
            calls = [event.call async for event in stream if isinstance(event, ToolCallEnd)]
        assert len({call.id for call in calls}) == len(calls)
        counts.add(len(calls))
        if max(counts) > 1:
            return
    pytest.fail(f"30 answers, and none with several calls: {counts}")


async def test_a_schema_holds_the_answer_to_it(container: LLMContainer) -> None:
    request = LLMRequest.of("An order", deadline_s=20, output=OutputSpec(name="order", schema=SCHEMA))
    answer = json.loads((await client(container, "plain").generate(request)).text)
    assert isinstance(answer["name"], str)
    assert isinstance(answer["count"], int)


async def test_a_typed_client_gives_a_checked_object(container: LLMContainer) -> None:
    answer = await container.typed(Order, "plain").generate(LLMRequest.of("An order", deadline_s=20))
    assert isinstance(answer.output, Order)
    assert isinstance(answer.output.urgent, bool)


async def test_a_conversation_longer_than_the_window_is_a_context_error(container: LLMContainer) -> None:
    with pytest.raises(ContextLengthError) as caught:
        await client(container, "plain").generate(asked("long " * CONTEXT))
    assert caught.value.reason == "context_length"
    assert caught.value.status == 400


async def test_a_body_that_the_server_refuses_is_the_callers_error(container: LLMContainer) -> None:
    broken = replace(asked(), extra={"response_format": {"type": "no such format"}})
    with pytest.raises(LLMValidationError) as caught:
        await client(container, "plain").generate(broken)
    assert caught.value.status == 400


async def test_log_probabilities_may_be_asked_for_and_disturb_nothing(container: LLMContainer) -> None:
    request = replace(asked(), extra={"logprobs": True, "top_logprobs": 3})
    assert (await client(container, "plain").generate(request)).complete


async def test_a_wrong_key_is_told_apart_and_not_repeated(box: Box) -> None:
    url = box.engines["plain"].base_url
    wrong = LLMConfig.llamacpp("plain", base_url=url, api_key="canary-key-of-nobody", allow_private=True)
    async with LLMContainer.of({"c": wrong}) as container:
        with pytest.raises(LLMAuthenticationError) as caught:
            await client(container, "c").generate(asked())
    assert caught.value.status == 401
    assert "canary" not in str(caught.value)


async def test_nobody_else_on_this_machine_may_use_the_server_of_a_local_model(models: Path, box: Box) -> None:
    url = box.engines["plain"].base_url
    async with LLMContainer.of({"c": LLMConfig.llamacpp("plain", base_url=url, allow_private=True)}) as container:
        with pytest.raises(LLMAuthenticationError):
            await client(container, "c").generate(asked())
