"""The official google-genai SDK asks our fake provider: an independent witness that the server speaks generateContent.

The SDK checks answers against its own types, which refuse unknown fields, and nothing leaves loopback.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
from google import genai
from google.genai import errors, types

from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON, FrozenDict, ToolCall
from loomwire.testing import Failure, FakeProvider, Reply

ONE = ToolCall("call_a", "add", FrozenDict({"a": 1}))
TWO = ToolCall("", "add", FrozenDict({"a": 2, "why": "because of the long words in here"}))
USED = Usage(120, 30, cache_read_tokens=100, reasoning_tokens=20)
SIGNATURE = "c2lnbmVkIGJ5IG5vYm9keQ=="
ADD = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="add",
            description="Adds.",
            parameters_json_schema={"type": "object", "properties": {"a": {"type": "integer"}}},
        )
    ]
)


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    """A server that answers `Hello there.` unless told otherwise."""
    async with FakeProvider(then="Hello there.") as server:
        yield server


@pytest.fixture
async def sdk(provider: FakeProvider) -> AsyncIterator[genai.Client]:
    """The SDK, pointed at the fake server, over httpx: its own session for aiohttp warns about itself."""
    async with httpx.AsyncClient() as http:
        place = provider.base_url.removesuffix("/v1")
        options = types.HttpOptions(base_url=place, api_version="v1beta", httpx_async_client=http)
        client = genai.Client(api_key="witness-key", http_options=options)
        yield client
        client.close()


def asked(provider: FakeProvider) -> Mapping[str, JSON]:
    """Return the body of the last request."""
    body: Mapping[str, JSON] = json.loads(provider.requests[-1].body)
    return body


def parts_of(answer: types.GenerateContentResponse) -> list[types.Part]:
    """Return the parts of the first candidate."""
    assert answer.candidates
    content = answer.candidates[0].content
    return list(content.parts or ()) if content is not None else []


async def test_a_plain_answer_is_a_valid_response(provider: FakeProvider, sdk: genai.Client) -> None:
    answer = await sdk.aio.models.generate_content(model="gemini-x", contents="Hi")
    assert answer.text == "Hello there."
    assert answer.candidates
    assert answer.candidates[0].finish_reason is types.FinishReason.STOP
    assert answer.model_version == "gemini-x"
    assert (answer.response_id or "").startswith("resp-")
    assert provider.requests[-1].path == "/v1beta/models/gemini-x:generateContent"
    assert provider.requests[-1].headers["x-goog-api-key"] == "witness-key"


async def test_a_stream_says_the_same_text_in_pieces_of_one_answer(provider: FakeProvider, sdk: genai.Client) -> None:
    chunks = [each async for each in await sdk.aio.models.generate_content_stream(model="gemini-x", contents="Hi")]
    assert "".join(each.text or "" for each in chunks) == "Hello there."
    assert len(chunks) > 2
    assert len({each.response_id for each in chunks}) == 1
    assert [each.candidates[0].finish_reason for each in chunks if each.candidates][-1] is types.FinishReason.STOP
    assert provider.requests[-1].path == "/v1beta/models/gemini-x:streamGenerateContent?alt=sse"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("calls", [(ONE,), (ONE, TWO)])
async def test_tool_calls_come_whole(
    provider: FakeProvider, sdk: genai.Client, calls: tuple[ToolCall, ...], stream: bool
) -> None:
    provider.queue(Reply("Let me see. ", calls, reasoning="Hm.", signature=SIGNATURE))
    config = types.GenerateContentConfig(tools=[ADD])
    models = sdk.aio.models
    if stream:
        streaming = await models.generate_content_stream(model="gemini-x", contents="Hi", config=config)
        parts = [part async for each in streaming for part in parts_of(each)]
    else:
        parts = parts_of(await models.generate_content(model="gemini-x", contents="Hi", config=config))
    said = [(part.function_call, part.thought_signature) for part in parts if part.function_call is not None]
    assert [(call.name, call.args) for call, _ in said] == [(each.name, dict(each.arguments or {})) for each in calls]
    assert [call.id for call, _ in said] == [each.id or None for each in calls]
    assert said[0][1] == b"signed by nobody"
    assert "".join(part.text or "" for part in parts if part.thought) == "Hm."
    assert "".join(part.text or "" for part in parts if not part.thought) == "Let me see. "


async def test_usage_is_told_with_its_parts(provider: FakeProvider, sdk: genai.Client) -> None:
    provider.queue(Reply("Four.", usage=USED), Reply("Four.", usage=USED))
    plain = (await sdk.aio.models.generate_content(model="gemini-x", contents="Hi")).usage_metadata
    streaming = await sdk.aio.models.generate_content_stream(model="gemini-x", contents="Hi")
    last = [each.usage_metadata async for each in streaming][-1]
    for usage in (plain, last):
        assert usage is not None
        assert (usage.prompt_token_count, usage.candidates_token_count, usage.total_token_count) == (120, 10, 150)
        assert (usage.cached_content_token_count, usage.thoughts_token_count) == (100, 20)


async def test_a_chat_sends_signatures_and_results_back_as_we_do(provider: FakeProvider, sdk: genai.Client) -> None:
    provider.queue(Reply("", (ONE,), signature=SIGNATURE), Reply("Three."))
    chat = sdk.aio.chats.create(model="gemini-x", config=types.GenerateContentConfig(tools=[ADD]))
    await chat.send_message("Hi")
    result = types.Part.from_function_response(name="add", response={"output": 3})
    assert (await chat.send_message(result)).text == "Three."
    contents = asked(provider)["contents"]
    assert isinstance(contents, list)
    assert SIGNATURE in json.dumps(contents[1])
    assert contents[2]["parts"] == [{"functionResponse": {"name": "add", "response": {"output": 3}}}]


async def test_structured_output_arrives_and_is_parsed(provider: FakeProvider, sdk: genai.Client) -> None:
    provider.queue(Reply('{"city": "Oslo"}'))
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    config = types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=schema)
    answer = await sdk.aio.models.generate_content(model="gemini-x", contents="Hi", config=config)
    assert answer.parsed == {"city": "Oslo"}
    assert asked(provider)["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": schema,
    }


@pytest.mark.parametrize(
    ("reason", "code", "status"),
    [
        ("credentials", 400, "INVALID_ARGUMENT"),
        ("model", 404, "NOT_FOUND"),
        ("quota_exhausted", 429, "RESOURCE_EXHAUSTED"),
        ("server", 500, "INTERNAL"),
        ("overloaded", 503, "UNAVAILABLE"),
    ],
)
async def test_errors_are_googles(
    provider: FakeProvider, sdk: genai.Client, reason: str, code: int, status: str
) -> None:
    provider.queue(Reply(failure=Failure(reason, "No.")), Reply(failure=Failure(reason, "No.")))
    with pytest.raises(errors.APIError) as plain:
        await sdk.aio.models.generate_content(model="gemini-x", contents="Hi")
    with pytest.raises(errors.APIError) as streamed:
        await anext(aiter(await sdk.aio.models.generate_content_stream(model="gemini-x", contents="Hi")))
    for caught in (plain.value, streamed.value):
        assert (caught.code, caught.status, caught.message) == (code, status, "No.")


async def test_the_listing_is_googles(sdk: genai.Client, provider: FakeProvider) -> None:
    assert [model.name async for model in await sdk.aio.models.list()]
    assert provider.requests[-1].path.startswith("/v1beta/models")
