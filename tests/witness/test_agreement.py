"""Our client and the official openai SDK, given the same answers of the same server, agree on what they say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import AsyncOpenAI

from loomwire import ILLMClient, LLMConfig, LLMContainer, LLMRequest, LLMResponse
from loomwire.domain.errors import LLMError
from loomwire.domain.policies import RetryPolicy
from loomwire.domain.pricing import Usage
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON, FrozenDict, ToolCall
from loomwire.testing import FakeProvider, HttpReply, Reply, chat_events

if TYPE_CHECKING:
    from openai.types import CompletionUsage
    from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

ASKS: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hi"}]
REQUEST = LLMRequest.of("Hi", tools=[Tool("add"), Tool("look_up")])


@dataclass(frozen=True)
class Understood:
    """What a client understood of an answer."""

    text: str
    calls: list[tuple[str, str, JSON]]
    finish: str | None
    usage: tuple[int, int, int, int] | None


def ours(answer: LLMResponse[str]) -> Understood:
    """Return what our client understood."""
    used = answer.usage
    calls: list[tuple[str, str, JSON]] = [
        (call.id, call.name, json.loads(json.dumps(call.arguments, default=dict))) for call in answer.tool_calls
    ]
    usage = (used.input_tokens, used.output_tokens, used.cache_read_tokens, used.reasoning_tokens)
    return Understood(answer.text, calls, answer.finish, usage if used.known else None)


def counts(usage: CompletionUsage | None) -> tuple[int, int, int, int] | None:
    """Return the SDK's usage in our order."""
    if usage is None:
        return None
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
    thought = usage.completion_tokens_details.reasoning_tokens if usage.completion_tokens_details else 0
    return usage.prompt_tokens, usage.completion_tokens, cached or 0, thought or 0


async def theirs(sdk: AsyncOpenAI) -> Understood:
    """Return what the SDK understands of a plain answer."""
    answer = await sdk.chat.completions.create(model="m", messages=ASKS)
    (choice,) = answer.choices
    calls: list[tuple[str, str, JSON]] = [
        (call.id, call.function.name, json.loads(call.function.arguments))
        for call in choice.message.tool_calls or ()
        if call.type == "function"
    ]
    return Understood(choice.message.content or "", calls, choice.finish_reason, counts(answer.usage))


async def theirs_streamed(sdk: AsyncOpenAI) -> Understood:
    """Return what the SDK's events of a stream add up to."""
    streaming = await sdk.chat.completions.create(
        model="m", messages=ASKS, stream=True, stream_options={"include_usage": True}
    )
    events = [event async for event in streaming]
    choices = [choice for event in events for choice in event.choices]
    finish = next((choice.finish_reason for choice in choices if choice.finish_reason), None)
    usage = next((event.usage for event in events if event.usage), None)
    text = "".join(choice.delta.content or "" for choice in choices)
    return Understood(text, _joined(events), finish, counts(usage))


def _joined(events: list[ChatCompletionChunk]) -> list[tuple[str, str, JSON]]:
    heads: dict[int, tuple[str, str]] = {}
    texts: dict[int, str] = {}
    for call in (call for event in events for choice in event.choices for call in choice.delta.tool_calls or ()):
        said = call.function
        if call.id and said and said.name:
            heads[call.index] = (call.id, said.name)
        texts[call.index] = texts.get(call.index, "") + (said.arguments or "" if said else "")
    return [(*heads[index], json.loads(texts[index])) for index in sorted(heads)]


@asynccontextmanager
async def clients(provider: FakeProvider) -> AsyncGenerator[tuple[ILLMClient, AsyncOpenAI], None]:
    """Yield our client and the SDK for one server."""
    once = RetryPolicy(attempts=1)
    config = LLMConfig.custom("m", base_url=provider.base_url, allow_private=True, free=True, retry=once)
    container = await asyncio.to_thread(LLMContainer.of, {"c": config})
    sdk = AsyncOpenAI(api_key="k", base_url=provider.base_url, max_retries=0, _strict_response_validation=True)
    async with container, sdk:
        yield container.resolve(ILLMClient, "c"), sdk


async def streamed_response(client: ILLMClient) -> LLMResponse[str]:
    """Read a stream of ours to its end."""
    async with client.stream(REQUEST) as stream:
        async for _ in stream:
            pass
    return stream.response


async def both(replies: list[Reply]) -> None:
    """Play every reply to both clients, plain and streamed, and compare."""
    async with FakeProvider() as provider, clients(provider) as (client, sdk):
        for reply in replies:
            provider.queue(*[reply] * 4)
            plain, streamed = ours(await client.generate(REQUEST)), ours(await streamed_response(client))
            assert plain == streamed == await theirs(sdk) == await theirs_streamed(sdk)


ARGUMENTS = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)
CALLS = st.lists(
    st.builds(lambda name, said: ToolCall("", name, FrozenDict(said)), st.sampled_from(["add", "look_up"]), ARGUMENTS),
    max_size=3,
).map(tuple)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Draw a usage whose parts are within their totals."""
    sent, said = draw(st.integers(0, 10**6)), draw(st.integers(0, 10**6))
    return Usage(
        sent,
        said,
        cache_read_tokens=draw(st.integers(0, sent)),
        reasoning_tokens=draw(st.integers(0, said)),
    )


REPLIES = st.builds(Reply, st.text(min_size=1, max_size=60), CALLS, usage=usages())


@settings(max_examples=15)
@given(st.lists(REPLIES, min_size=1, max_size=6))
def test_both_understand_the_same_of_any_answer(replies: list[Reply]) -> None:
    asyncio.run(both(replies))


@pytest.mark.parametrize(
    "reply",
    [
        Reply("cut by the token limit", finish="length"),
        Reply("", (ToolCall("", "add", FrozenDict({})),)),
        Reply("é 😀 \u2028 \x00 end", reasoning="Let me think."),
        Reply('```json\n{"a": "data: [DONE]"}\n```\r\n\r\n'),
    ],
)
async def test_both_understand_the_same_of_an_odd_answer(reply: Reply) -> None:
    await both([replace(reply, usage=Usage(7, 3))])


async def test_a_stream_without_an_end_satisfies_the_sdk_and_not_us() -> None:
    begun = HttpReply(chunks=chat_events(Reply("Half of", cut_after=4)))
    async with FakeProvider(begun, begun) as provider, clients(provider) as (client, sdk):
        assert (await theirs_streamed(sdk)).text == "Half"
        with pytest.raises(LLMError) as caught:
            await streamed_response(client)
    assert caught.value.reason == "stream_interrupted"


@pytest.mark.parametrize(("status", "code"), [(401, "invalid_api_key"), (429, "rate_limit_exceeded"), (500, "oops")])
async def test_both_name_status_code_and_request_of_an_error(status: int, code: str) -> None:
    body: Mapping[str, JSON] = {"error": {"message": "No.", "type": "x", "param": None, "code": code}}
    async with FakeProvider(then=HttpReply(status, body)) as provider, clients(provider) as (client, sdk):
        with pytest.raises(openai.APIStatusError) as theirs_found:
            await theirs(sdk)
        with pytest.raises(LLMError) as found:
            await client.generate(REQUEST)
    said, mine = theirs_found.value, found.value
    assert (said.status_code, said.code) == (mine.status, mine.provider_code) == (status, code)
    assert [said.request_id, mine.request_id] == [request.id for request in provider.requests]
