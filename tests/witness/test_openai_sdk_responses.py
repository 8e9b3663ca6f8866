"""The official openai SDK asks our fake provider over the Responses API: the server is known to speak it.

The SDK checks every body and event against its own types (`_strict_response_validation`), and nothing leaves loopback.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from io import StringIO
from typing import TYPE_CHECKING

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from loomwire.domain.pricing import Usage
from loomwire.domain.responses import Finish
from loomwire.domain.values import JSON, FrozenDict, ToolCall
from loomwire.testing import Failure, FakeProvider, Fault, HttpReply, Reply

if TYPE_CHECKING:
    from openai.types.responses import FunctionToolParam

ADD: FunctionToolParam = {
    "type": "function",
    "name": "add",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    "strict": False,
}
ONE = ToolCall("call_a", "add", FrozenDict({"a": 1}))
TWO = ToolCall("call_b", "add", FrozenDict({"a": 2, "why": "because of the long words in here"}))
USED = Usage(120, 30, cache_read_tokens=100, cache_write_tokens=7, reasoning_tokens=20)


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    """A server that answers `Hello there.` unless told otherwise."""
    async with FakeProvider(then="Hello there.") as server:
        yield server


@pytest.fixture
async def sdk(provider: FakeProvider) -> AsyncIterator[AsyncOpenAI]:
    """The SDK as its users have it, but that it takes no deviation and sends nothing twice."""
    client = AsyncOpenAI(
        api_key="sk-witness", base_url=provider.base_url, max_retries=0, _strict_response_validation=True
    )
    async with client:
        yield client


@pytest.mark.parametrize("missing", ["id", "created_at", "model", "object", "output", "tools", "tool_choice"])
async def test_the_witness_is_strict(provider: FakeProvider, sdk: AsyncOpenAI, missing: str) -> None:
    whole: dict[str, JSON] = {
        "id": "x",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    provider.queue(HttpReply(body=whole), HttpReply(body={key: whole[key] for key in whole if key != missing}))
    assert (await sdk.responses.create(model="m", input="Hi")).id == "x"
    with pytest.raises(openai.APIResponseValidationError):
        await sdk.responses.create(model="m", input="Hi")


async def test_a_plain_answer_is_a_valid_response(sdk: AsyncOpenAI) -> None:
    answer = await sdk.responses.create(model="gpt-x", input="Hi")
    assert (answer.output_text, answer.status, answer.model, answer.error) == (
        "Hello there.",
        "completed",
        "gpt-x",
        None,
    )
    assert answer.id.startswith("resp_0")
    assert [item.type for item in answer.output] == ["message"]


async def test_a_stream_says_the_same_text_in_pieces_of_one_answer(sdk: AsyncOpenAI) -> None:
    events = [event async for event in await sdk.responses.create(model="gpt-x", input="Hi", stream=True)]
    pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert len(pieces) > 1
    assert "".join(pieces) == "Hello there."
    assert [event.sequence_number for event in events] == list(range(len(events)))
    first, last = events[0], events[-1]
    assert first.type == "response.created"
    assert last.type == "response.completed"
    assert (first.response.id, first.response.usage) == (last.response.id, None)
    assert last.response.output_text == "Hello there."
    assert last.response.usage is not None


@pytest.mark.parametrize("calls", [(ONE,), (ONE, TWO)])
async def test_tool_calls_come_whole(provider: FakeProvider, sdk: AsyncOpenAI, calls: tuple[ToolCall, ...]) -> None:
    provider.queue(Reply(tool_calls=calls))
    answer = await sdk.responses.create(model="gpt-x", input="Hi", tools=[ADD])
    got = [item for item in answer.output if item.type == "function_call"]
    assert len(answer.output) == len(got)
    assert [(call.call_id, call.name, json.loads(call.arguments)) for call in got] == told(calls)


@pytest.mark.parametrize("calls", [(ONE,), (ONE, TWO)])
async def test_everything_is_put_together_from_a_stream(
    provider: FakeProvider, sdk: AsyncOpenAI, calls: tuple[ToolCall, ...]
) -> None:
    provider.queue(Reply("Let me see. ", calls, reasoning="They want a sum."))
    async with sdk.responses.stream(model="gpt-x", input="Hi", tools=[ADD]) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert [item.type for item in final.output] == ["reasoning", "message", *("function_call" for _ in calls)]
    got = [item for item in final.output if item.type == "function_call"]
    assert [(call.call_id, call.name, json.loads(call.arguments)) for call in got] == told(calls)
    assert final.output_text == "Let me see. "
    assert kinds.count("response.function_call_arguments.done") == len(calls)
    assert kinds.count("response.reasoning_summary_text.done") == 1
    assert kinds.count("response.output_item.added") == kinds.count("response.output_item.done") == 2 + len(calls)


def told(calls: tuple[ToolCall, ...]) -> list[tuple[str, str, object]]:
    """Return calls as comparable facts."""
    return [(call.id, call.name, dict(call.arguments or {})) for call in calls]


@pytest.mark.parametrize("asks", [True, False])
async def test_thinking_is_encrypted_only_when_asked(provider: FakeProvider, sdk: AsyncOpenAI, asks: bool) -> None:
    provider.queue(Reply("Four.", reasoning="Two and two.", signature="gAAAA-signed"))
    answer = await sdk.responses.create(
        model="gpt-x", input="Hi", include=["reasoning.encrypted_content"] if asks else []
    )
    thought = answer.output[0]
    assert thought.type == "reasoning"
    assert [part.text for part in thought.summary] == ["Two and two."]
    assert thought.encrypted_content == ("gAAAA-signed" if asks else None)


async def test_usage_is_told_with_its_parts(provider: FakeProvider, sdk: AsyncOpenAI) -> None:
    provider.queue(Reply("Four.", usage=USED))
    usage = (await sdk.responses.create(model="gpt-x", input="Hi")).usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (120, 30, 150)
    assert (usage.input_tokens_details.cached_tokens, usage.output_tokens_details.reasoning_tokens) == (100, 20)


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
async def test_an_incomplete_answer_says_why(
    provider: FakeProvider, sdk: AsyncOpenAI, finish: Finish, reason: str
) -> None:
    provider.queue(Reply("Hel", finish=finish), Reply("Hel", finish=finish))
    whole = await sdk.responses.create(model="gpt-x", input="Hi")
    *_, last = [event async for event in await sdk.responses.create(model="gpt-x", input="Hi", stream=True)]
    assert last.type == "response.incomplete"
    for answer in (whole, last.response):
        assert answer.status == "incomplete"
        assert answer.incomplete_details is not None
        assert answer.incomplete_details.reason == reason


async def test_an_answer_may_fail(provider: FakeProvider, sdk: AsyncOpenAI) -> None:
    provider.queue(Reply("Hel", finish="error"))
    *_, last = [event async for event in await sdk.responses.create(model="gpt-x", input="Hi", stream=True)]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert last.response.error.code == "server_error"


class City(BaseModel):
    """What the model is asked for."""

    name: str
    people: int


async def test_a_schema_arrives_and_the_answer_is_parsed(provider: FakeProvider, sdk: AsyncOpenAI) -> None:
    provider.queue('{"name": "Porto", "people": 231800}')
    parsed = await sdk.responses.parse(model="gpt-x", input="Hi", text_format=City)
    assert parsed.output_parsed == City(name="Porto", people=231_800)
    body: Mapping[str, Mapping[str, Mapping[str, JSON]]] = json.loads(provider.requests[-1].body)
    assert body["text"]["format"]["type"] == "json_schema"


ERRORS = [
    ("credentials", openai.AuthenticationError),
    ("denied", openai.PermissionDeniedError),
    ("model", openai.NotFoundError),
    ("throttled", openai.RateLimitError),
    ("context_length", openai.BadRequestError),
    ("server", openai.InternalServerError),
    ("overloaded", openai.InternalServerError),
]


@pytest.mark.parametrize(("reason", "kind"), ERRORS, ids=[reason for reason, _ in ERRORS])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_errors_are_of_the_kind_the_sdk_knows(
    provider: FakeProvider, sdk: AsyncOpenAI, reason: str, kind: type[openai.APIStatusError], stream: bool
) -> None:
    provider.queue(Reply(failure=Failure(reason, "No, sorry.")))
    with pytest.raises(kind, match=r"No, sorry\."):
        await sdk.responses.create(model="gpt-x", input="Hi", stream=stream)


async def test_an_error_in_the_middle_of_a_stream_is_an_error(provider: FakeProvider, sdk: AsyncOpenAI) -> None:
    provider.queue(Fault("error_midway", Reply("Hello there, all of you.")))
    kinds = StringIO()

    async def listen() -> None:
        async for event in await sdk.responses.create(model="gpt-x", input="Hi", stream=True):
            kinds.write(f"{event.type} ")

    with pytest.raises(openai.APIError, match="error_midway"):
        await listen()
    assert kinds.getvalue().startswith("response.created ")


async def test_a_stream_that_is_cut_is_a_connection_error(provider: FakeProvider, sdk: AsyncOpenAI) -> None:
    provider.queue(Reply("Hello there.", cut_after=5))
    said = StringIO()

    async def listen() -> None:
        async for event in await sdk.responses.create(model="gpt-x", input="Hi", stream=True):
            said.write(event.delta if event.type == "response.output_text.delta" else "")

    with pytest.raises(openai.APIConnectionError):
        await listen()
    assert said.getvalue() == "Hello"


async def test_the_synchronous_sdk_gets_the_same(provider: FakeProvider) -> None:
    def ask() -> tuple[str, str]:
        key = "sk-witness"
        with OpenAI(api_key=key, base_url=provider.base_url, max_retries=0, _strict_response_validation=True) as client:
            whole = client.responses.create(model="gpt-x", input="Hi").output_text
            with client.responses.create(model="gpt-x", input="Hi", stream=True) as streaming:
                pieces = [event.delta for event in streaming if event.type == "response.output_text.delta"]
            return whole, "".join(pieces)

    assert await asyncio.to_thread(ask) == ("Hello there.", "Hello there.")
