"""The official openai SDK's Azure client asks our fake provider, and we ask it the same: both send the same."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, LLMNotFoundError
from loomwire.domain.events import Finished, TextDelta
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.pricing import Usage
from loomwire.domain.requests import LLMRequest, Parameters
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON, FrozenDict, ToolCall
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import Failure, FakeProvider, Reply
from loomwire.testing.wire import ReceivedRequest

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam

VERSION = "2024-10-21"
KEY = "azure-witness-key"
ASKS: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
]
ADD: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds.",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    },
}
OURS = LLMRequest.of(
    "Hi",
    system="Be brief.",
    tools=[Tool("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}})],
    parameters=Parameters(max_tokens=50, temperature=0.5),
)
CALL = ToolCall("call_a", "add", FrozenDict({"a": 1}))


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    """A server that answers `Hello there.` unless told otherwise."""
    async with FakeProvider(then="Hello there.") as server:
        yield server


@pytest.fixture
async def sdk(provider: FakeProvider) -> AsyncIterator[AsyncAzureOpenAI]:
    """The SDK as its users have it, but that it sends nothing twice.

    It may not be strict: the first event of Azure's own streams does not fit the SDK's types.
    """
    client = AsyncAzureOpenAI(
        api_key=KEY,
        azure_endpoint=provider.base_url.removesuffix("/v1"),
        api_version=VERSION,
        max_retries=0,
    )
    async with client:
        yield client


@asynccontextmanager
async def ours(provider: FakeProvider, model: str, version: str | None = VERSION) -> AsyncGenerator[ILLMClient]:
    """Our client of the same deployment."""
    place = provider.base_url.removesuffix("/v1")
    config = LLMConfig.azure_openai(model, base_url=place, api_key=KEY, allow_private=True)
    pool = ConnectionPool()
    if version is not None:
        config = LLMConfig.azure_openai(model, base_url=place, api_key=KEY, allow_private=True, api_version=version)
    yield ClientFactory(pool, SystemClock()).create(config)
    await pool.aclose()


def facts(request: ReceivedRequest) -> tuple[str, str | None, str | None, Mapping[str, JSON]]:
    """Return what makes a request: path with query, both ways of sending a key, and the body."""
    body: Mapping[str, JSON] = json.loads(request.body)
    return request.path, request.headers.get("api-key"), request.headers.get("authorization"), body


@pytest.mark.parametrize("model", ["gpt-4o", "my deployment", "größe"])
async def test_we_ask_a_deployment_as_the_sdk_does(provider: FakeProvider, sdk: AsyncAzureOpenAI, model: str) -> None:
    await sdk.chat.completions.create(
        model=model, messages=ASKS, tools=[ADD], max_completion_tokens=50, temperature=0.5
    )
    async with ours(provider, model) as client:
        assert (await client.generate(OURS)).text == "Hello there."
    theirs, mine = map(facts, provider.requests)
    assert mine == theirs
    assert mine[1:3] == (KEY, None)


async def test_we_ask_the_v1_api_as_the_sdk_does(provider: FakeProvider) -> None:
    base_url = f"{provider.base_url.removesuffix('/v1')}/openai/v1/"
    async with AsyncOpenAI(api_key=KEY, base_url=base_url, max_retries=0) as sdk:
        await sdk.chat.completions.create(
            model="gpt-4o", messages=ASKS, stream=True, stream_options={"include_usage": True}
        )
    async with (
        ours(provider, "gpt-4o", None) as client,
        client.stream(LLMRequest.of("Hi", system="Be brief.")) as stream,
    ):
        assert [event async for event in stream]
    theirs, mine = map(facts, provider.requests)
    assert (mine[0], mine[3]) == (theirs[0], theirs[3]) == ("/openai/v1/chat/completions", theirs[3])


async def test_the_sdk_takes_a_plain_answer_and_a_stream_that_begins_with_the_prompts_filter(
    provider: FakeProvider, sdk: AsyncAzureOpenAI
) -> None:
    provider.queue("Hello there.", Reply("Four.", usage=Usage(120, 30)))
    answer = await sdk.chat.completions.create(model="gpt-4o", messages=ASKS)
    assert (answer.choices[0].message.content, answer.model) == ("Hello there.", "gpt-4o")
    streaming = await sdk.chat.completions.create(
        model="gpt-4o", messages=ASKS, stream=True, stream_options={"include_usage": True}
    )
    events = [event async for event in streaming]
    assert (events[0].choices, events[0].id, events[0].model) == ([], "", "")
    assert "prompt_filter_results" in (events[0].model_extra or {})
    assert "".join(event.choices[0].delta.content or "" for event in events if event.choices) == "Four."
    assert events[-1].usage is not None
    assert events[-1].usage.total_tokens == 150


async def test_we_read_the_same_stream(provider: FakeProvider) -> None:
    provider.queue(Reply("Four.", usage=Usage(120, 30)))
    async with ours(provider, "gpt-4o") as client, client.stream(LLMRequest.of("Hi")) as stream:
        events = [event async for event in stream]
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Four."
    assert isinstance(events[-1], Finished)
    assert (stream.response.model, stream.response.usage.total_tokens) == ("gpt-4o", 150)
    assert stream.response.response_id


async def test_tool_calls_come_whole_through_the_sdk(provider: FakeProvider, sdk: AsyncAzureOpenAI) -> None:
    provider.queue(Reply(tool_calls=(CALL,)), Reply(tool_calls=(CALL,)))
    answer = await sdk.chat.completions.create(model="gpt-4o", messages=ASKS, tools=[ADD])
    got = [call for call in answer.choices[0].message.tool_calls or () if call.type == "function"]
    assert [(call.id, call.function.name, call.function.arguments) for call in got] == [("call_a", "add", '{"a":1}')]
    async with sdk.chat.completions.stream(model="gpt-4o", messages=ASKS, tools=[ADD]) as stream:
        final = await stream.get_final_completion()
    assert [call.id for call in final.choices[0].message.tool_calls or ()] == ["call_a"]


@pytest.mark.parametrize(
    ("reason", "kind", "status", "code"),
    [
        ("credentials", openai.AuthenticationError, 401, "401"),
        ("model", openai.NotFoundError, 404, "DeploymentNotFound"),
        ("throttled", openai.RateLimitError, 429, "429"),
        ("content_filter", openai.BadRequestError, 400, "content_filter"),
        ("overloaded", openai.InternalServerError, 503, None),
    ],
)
async def test_a_failure_is_the_sdks_own_exception_and_ours(
    provider: FakeProvider,
    sdk: AsyncAzureOpenAI,
    reason: str,
    kind: type[openai.APIStatusError],
    status: int,
    code: str | None,
) -> None:
    failed = Reply(failure=Failure(reason, message="No, because."))
    provider.queue(failed, failed)
    with pytest.raises(kind) as caught:
        await sdk.chat.completions.create(model="gpt-4o", messages=ASKS)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    async with ours(provider, "gpt-4o") as client:
        with pytest.raises(LLMError) as mine:
            await client.generate(LLMRequest.of("Hi"))
    assert (mine.value.reason, mine.value.status) == (reason, status)
    assert isinstance(mine.value, LLMNotFoundError) == (reason == "model")


async def test_a_token_of_entra_is_a_bearer_token_of_both(provider: FakeProvider) -> None:
    place = provider.base_url.removesuffix("/v1")
    async with AsyncAzureOpenAI(
        azure_ad_token="entra-token", azure_endpoint=place, api_version=VERSION, max_retries=0
    ) as sdk:
        await sdk.chat.completions.create(model="gpt-4o", messages=ASKS)
    bearer = {"authorization": "Bearer entra-token"}
    config = LLMConfig.azure_openai("gpt-4o", base_url=place, api_version=VERSION, headers=bearer, allow_private=True)
    pool = ConnectionPool()
    await ClientFactory(pool, SystemClock()).create(config).generate(LLMRequest.of("Hi", system="Be brief."))
    await pool.aclose()
    theirs, mine = map(facts, provider.requests)
    assert mine == theirs
    assert mine[1:3] == (None, "Bearer entra-token")
