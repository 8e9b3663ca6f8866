"""The official openai SDK asks our fake provider: an independent witness that the server speaks the protocol.

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
from loomwire.domain.values import JSON, FrozenDict, ToolCall
from loomwire.testing import Failure, FakeProvider, HttpReply, Reply

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam

ASKS: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hi"}]
ADD: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
}
ONE = ToolCall("call_a", "add", FrozenDict({"a": 1}))
TWO = ToolCall("call_b", "add", FrozenDict({"a": 2, "why": "because of the long words in here"}))
USED = Usage(120, 30, cache_read_tokens=100, reasoning_tokens=20)


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


def asked(provider: FakeProvider) -> Mapping[str, JSON]:
    """Return the body of the last request."""
    body: Mapping[str, JSON] = json.loads(provider.requests[-1].body)
    return body


@pytest.mark.parametrize("missing", ["id", "choices", "created", "model", "object"])
async def test_the_witness_is_strict(provider: FakeProvider, sdk: AsyncOpenAI, missing: str) -> None:
    whole: dict[str, JSON] = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": []}
    provider.queue(HttpReply(body=whole), HttpReply(body={key: whole[key] for key in whole if key != missing}))
    assert (await sdk.chat.completions.create(model="m", messages=ASKS)).id == "x"
    with pytest.raises(openai.APIResponseValidationError):
        await sdk.chat.completions.create(model="m", messages=ASKS)


async def test_a_plain_answer_is_a_valid_completion(sdk: AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.create(model="gpt-x", messages=ASKS)
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "Hello there.", "stop")
    assert (answer.object, answer.model, choice.message.tool_calls) == ("chat.completion", "gpt-x", None)
    assert answer.id.startswith("chatcmpl-")


async def test_a_stream_says_the_same_text_in_pieces_of_one_answer(sdk: AsyncOpenAI) -> None:
    events = [event async for event in await sdk.chat.completions.create(model="gpt-x", messages=ASKS, stream=True)]
    pieces = [event.choices[0].delta.content for event in events if event.choices[0].delta.content]
    assert len(pieces) > 1
    assert "".join(pieces) == "Hello there."
    assert events[0].choices[0].delta.role == "assistant"
    assert [event.choices[0].finish_reason for event in events if event.choices[0].finish_reason] == ["stop"]
    assert {(event.id, event.model, event.object) for event in events} == {
        (events[0].id, "gpt-x", "chat.completion.chunk")
    }
    assert all(event.usage is None for event in events)


@pytest.mark.parametrize("calls", [(ONE,), (ONE, TWO)])
async def test_tool_calls_come_whole(provider: FakeProvider, sdk: AsyncOpenAI, calls: tuple[ToolCall, ...]) -> None:
    provider.queue(Reply(tool_calls=calls))
    answer = await sdk.chat.completions.create(model="gpt-x", messages=ASKS, tools=[ADD])
    (choice,) = answer.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    got = [call for call in choice.message.tool_calls or () if call.type == "function"]
    assert [(call.id, call.function.name, json.loads(call.function.arguments)) for call in got] == told(calls)


@pytest.mark.parametrize("calls", [(ONE,), (ONE, TWO)])
async def test_tool_calls_are_put_together_from_a_stream(
    provider: FakeProvider, sdk: AsyncOpenAI, calls: tuple[ToolCall, ...]
) -> None:
    provider.queue(Reply("Let me see. ", calls))
    async with sdk.chat.completions.stream(model="gpt-x", messages=ASKS, tools=[ADD]) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_completion()
    (choice,) = final.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "Let me see. ")
    got = [
        (call.id, call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls or ()
    ]
    assert got == told(calls)
    assert kinds.count("tool_calls.function.arguments.done") == len(calls)


def told(calls: tuple[ToolCall, ...]) -> list[tuple[str, str, object]]:
    """Return calls as comparable facts."""
    return [(call.id, call.name, dict(call.arguments or {})) for call in calls]


async def test_usage_is_told_with_its_parts(provider: FakeProvider, sdk: AsyncOpenAI) -> None:
    provider.queue(Reply("Four.", usage=USED))
    usage = (await sdk.chat.completions.create(model="gpt-x", messages=ASKS)).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (120, 30, 150)
    assert usage.prompt_tokens_details is not None
    assert usage.completion_tokens_details is not None
    assert (usage.prompt_tokens_details.cached_tokens, usage.completion_tokens_details.reasoning_tokens) == (100, 20)


async def test_a_stream_tells_usage_last_and_only_when_asked(provider: FakeProvider, sdk: AsyncOpenAI) -> None:
    provider.queue(Reply("Four.", usage=USED))
    streaming = await sdk.chat.completions.create(
        model="gpt-x", messages=ASKS, stream=True, stream_options={"include_usage": True}
    )
    *others, last = [event async for event in streaming]
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens) == (120, 30, 150)
    assert all(event.usage is None for event in others)


class City(BaseModel):
    """What the model is asked for."""

    name: str
    people: int


async def test_json_mode_and_json_schema_arrive_and_the_answer_is_parsed(
    provider: FakeProvider, sdk: AsyncOpenAI
) -> None:
    provider.queue('{"name": "Porto", "people": 231800}', '{"name": "Porto"}')
    parsed = await sdk.chat.completions.parse(model="gpt-x", messages=ASKS, response_format=City)
    assert parsed.choices[0].message.parsed == City(name="Porto", people=231_800)
    form = asked(provider)["response_format"]
    assert isinstance(form, Mapping)
    assert form["type"] == "json_schema"
    loose = await sdk.chat.completions.create(model="gpt-x", messages=ASKS, response_format={"type": "json_object"})
    assert loose.choices[0].message.content == '{"name": "Porto"}'
    assert asked(provider)["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("reason", "kind", "status", "code"),
    [
        ("credentials", openai.AuthenticationError, 401, "invalid_api_key"),
        ("denied", openai.PermissionDeniedError, 403, None),
        ("model", openai.NotFoundError, 404, "model_not_found"),
        ("conflict", openai.ConflictError, 409, None),
        ("throttled", openai.RateLimitError, 429, "rate_limit_exceeded"),
        ("quota_exhausted", openai.RateLimitError, 429, "insufficient_quota"),
        ("invalid_request", openai.BadRequestError, 400, None),
        ("context_length", openai.BadRequestError, 400, "context_length_exceeded"),
        ("content_filter", openai.BadRequestError, 400, "content_filter"),
        ("server", openai.InternalServerError, 500, None),
        ("overloaded", openai.InternalServerError, 503, None),
    ],
)
async def test_a_failure_is_the_sdks_own_exception(
    provider: FakeProvider,
    sdk: AsyncOpenAI,
    reason: str,
    kind: type[openai.APIStatusError],
    status: int,
    code: str | None,
    streamed: bool,
) -> None:
    provider.queue(Reply(failure=Failure(reason, message="No, because.")))
    with pytest.raises(kind) as caught:
        await sdk.chat.completions.create(model="gpt-x", messages=ASKS, stream=streamed)
    error = caught.value
    assert type(error) is kind
    assert (error.status_code, error.code) == (status, code)
    assert "No, because." in error.message
    assert error.request_id == provider.requests[-1].id == error.response.headers["x-request-id"]


async def test_the_sdk_waits_as_long_as_retry_after_says(provider: FakeProvider, sdk: AsyncOpenAI) -> None:
    provider.queue(Reply(failure=Failure("throttled", retry_after=0.55)))
    answer = await sdk.with_options(max_retries=1).chat.completions.create(model="gpt-x", messages=ASKS)
    assert answer.choices[0].message.content == "Hello there."
    first, second = provider.requests
    # Left alone, it would wait half a second at most.
    assert second.received_at - first.received_at >= 0.55
    assert (first.status, second.status) == (429, 200)


async def test_a_stream_that_is_cut_keeps_its_text_and_is_a_connection_error(
    provider: FakeProvider, sdk: AsyncOpenAI
) -> None:
    provider.queue(Reply("Hello there.", cut_after=5))
    said = StringIO()

    async def listen() -> None:
        async for event in await sdk.chat.completions.create(model="gpt-x", messages=ASKS, stream=True):
            said.write(event.choices[0].delta.content or "")

    with pytest.raises(openai.APIConnectionError):
        await listen()
    assert said.getvalue() == "Hello"


async def test_a_plain_answer_that_is_cut_is_a_connection_error(provider: FakeProvider, sdk: AsyncOpenAI) -> None:
    provider.queue(Reply("Hello there.", cut_after=5))
    with pytest.raises(openai.APIConnectionError):
        await sdk.chat.completions.create(model="gpt-x", messages=ASKS)


async def test_an_answer_that_comes_too_late_is_a_timeout(provider: FakeProvider, sdk: AsyncOpenAI) -> None:
    provider.queue(Reply("late", delay_s=30.0))
    with pytest.raises(openai.APITimeoutError):
        await sdk.chat.completions.create(model="gpt-x", messages=ASKS, timeout=0.05)
    await provider.until(lambda stats: stats.abandoned == 1)


async def test_headers_name_the_request(provider: FakeProvider, sdk: AsyncOpenAI) -> None:
    raw = await sdk.chat.completions.with_raw_response.create(model="gpt-x", messages=ASKS)
    assert raw.request_id == raw.headers["x-request-id"] == provider.requests[-1].id
    assert raw.http_response.status_code == 200
    assert raw.parse().choices[0].message.content == "Hello there."


async def test_the_models_are_listed() -> None:
    async with FakeProvider(script={"models": ["gpt-x", "tiny"]}) as server:
        client = AsyncOpenAI(api_key="k", base_url=server.base_url, max_retries=0, _strict_response_validation=True)
        async with client:
            assert [model.id async for model in client.models.list()] == ["gpt-x", "tiny"]
            with pytest.raises(openai.NotFoundError) as caught:
                await client.chat.completions.create(model="other", messages=ASKS)
    assert caught.value.code == "model_not_found"


async def test_the_synchronous_sdk_gets_the_same(provider: FakeProvider) -> None:
    def ask() -> tuple[str | None, str, list[str]]:
        key = "sk-witness"
        with OpenAI(api_key=key, base_url=provider.base_url, max_retries=0, _strict_response_validation=True) as client:
            whole = client.chat.completions.create(model="gpt-x", messages=ASKS)
            with client.chat.completions.create(model="gpt-x", messages=ASKS, stream=True) as streaming:
                streamed = "".join(event.choices[0].delta.content or "" for event in streaming)
            with pytest.raises(openai.RateLimitError):
                client.chat.completions.create(model="busy", messages=ASKS)
            return whole.choices[0].message.content, streamed, [model.id for model in client.models.list()]

    provider.queue("Hello there.", "Hello there.", Reply(failure=Failure("throttled")))
    whole, streamed, models = await asyncio.to_thread(ask)
    assert whole == streamed == "Hello there."
    assert models


async def test_the_key_goes_nowhere_but_to_the_server(provider: FakeProvider, sdk: AsyncOpenAI) -> None:
    await sdk.chat.completions.create(model="gpt-x", messages=ASKS)
    request = provider.requests[-1]
    assert request.headers["authorization"] == "Bearer sk-witness"
    assert "sk-witness" not in repr(request)
