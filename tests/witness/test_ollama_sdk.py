"""The official ollama SDK asks our fake provider: an independent witness that the server speaks Ollama's chat.

The SDK checks every body and line against its own types; nothing leaves loopback.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import ollama
import pytest
from pydantic import ValidationError

from loomwire.domain.pricing import Usage
from loomwire.domain.values import FrozenDict, ToolCall
from loomwire.testing import Failure, FakeProvider, HttpReply, Reply
from loomwire.testing.speakers.table import listing_for, speaker_of

ASKS = [{"role": "user", "content": "Hi"}]
ADD = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
}
ONE = ToolCall("call_a", "add", FrozenDict({"a": 1}))
TWO = ToolCall("call_b", "add", FrozenDict({"a": 2, "why": "because of the long words in here"}))


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    """A server that answers `Hello there.` unless told otherwise."""
    async with FakeProvider(then="Hello there.") as server:
        yield server


@pytest.fixture
async def sdk(provider: FakeProvider) -> AsyncIterator[ollama.AsyncClient]:
    """The SDK as its users have it."""
    async with ollama.AsyncClient(provider.base_url.removesuffix("/v1")) as client:
        yield client


async def test_the_witness_is_strict(provider: FakeProvider, sdk: ollama.AsyncClient) -> None:
    provider.queue(HttpReply(body={"model": "m", "done": True}))
    with pytest.raises(ValidationError, match="message"):
        await sdk.chat(model="m", messages=ASKS)


async def test_a_plain_answer_is_a_valid_answer(provider: FakeProvider, sdk: ollama.AsyncClient) -> None:
    provider.queue(Reply("Hello there.", reasoning="Hm.", usage=Usage(120, 30)))
    answer = await sdk.chat(model="llama-x", messages=ASKS, think=True)
    assert (answer.message.role, answer.message.content, answer.message.thinking) == (
        "assistant",
        "Hello there.",
        "Hm.",
    )
    assert (answer.model, answer.done, answer.done_reason) == ("llama-x", True, "stop")
    assert (answer.prompt_eval_count, answer.eval_count) == (120, 30)
    assert provider.requests[-1].path == "/api/chat"


@pytest.mark.parametrize("calls", [(ONE,), (ONE, TWO)])
async def test_tool_calls_come_whole(
    provider: FakeProvider, sdk: ollama.AsyncClient, calls: tuple[ToolCall, ...]
) -> None:
    provider.queue(Reply(tool_calls=calls))
    answer = await sdk.chat(model="llama-x", messages=ASKS, tools=[ADD])
    got = [(call.function.name, call.function.arguments) for call in answer.message.tool_calls or ()]
    assert got == [(call.name, dict(call.arguments or {})) for call in calls]
    assert answer.done_reason == "stop"


async def test_a_stream_says_the_same_in_pieces(provider: FakeProvider, sdk: ollama.AsyncClient) -> None:
    provider.queue(Reply("Hello there.", (ONE, TWO), "Hm, hm.", usage=Usage(120, 30)))
    lines = [line async for line in await sdk.chat(model="llama-x", messages=ASKS, tools=[ADD], stream=True)]
    assert "".join(line.message.content or "" for line in lines) == "Hello there."
    assert "".join(line.message.thinking or "" for line in lines) == "Hm, hm."
    calls = [call.function.arguments for line in lines for call in line.message.tool_calls or ()]
    assert calls == [dict(call.arguments or {}) for call in (ONE, TWO)]
    assert [line.done for line in lines] == [False] * (len(lines) - 1) + [True]
    assert (lines[-1].done_reason, lines[-1].eval_count) == ("stop", 30)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reason", "status"),
    [("credentials", 401), ("model", 404), ("invalid_request", 400), ("server", 500), ("overloaded", 503)],
)
async def test_a_failure_is_the_sdks_own_exception(
    provider: FakeProvider, sdk: ollama.AsyncClient, reason: str, status: int, stream: bool
) -> None:
    provider.queue(Reply(failure=Failure(reason, message="No, because.")))
    with pytest.raises(ollama.ResponseError) as caught:
        await (streamed(sdk, []) if stream else sdk.chat(model="m", messages=ASKS))
    assert (caught.value.status_code, caught.value.error) == (status, "No, because.")


async def test_an_error_line_after_good_ones_is_the_sdks_own_exception(
    provider: FakeProvider, sdk: ollama.AsyncClient
) -> None:
    good = b'{"model":"m","message":{"role":"assistant","content":"Hi"},"done":false}\n'
    broken = speaker_of("ollama").error_event(Failure("server", message="No, because."))
    provider.queue(HttpReply(chunks=[good, broken], headers={"content-type": "application/x-ndjson"}))
    got: list[str | None] = []
    with pytest.raises(ollama.ResponseError, match="No, because"):
        await streamed(sdk, got)
    assert got == ["Hi"]


async def streamed(sdk: ollama.AsyncClient, got: list[str | None]) -> None:
    """Stream once, into `got`."""
    async for line in await sdk.chat(model="m", messages=ASKS, stream=True):
        got.append(line.message.content)  # noqa: PERF401 - what came before an error counts


async def test_the_list_of_models_is_valid(provider: FakeProvider, sdk: ollama.AsyncClient) -> None:
    listed = listing_for("/api/tags", ["llama-x", "llama-y"])
    assert listed is not None
    provider.queue(listed)
    assert [model.model for model in (await sdk.list()).models] == ["llama-x", "llama-y"]


async def test_pictures_and_options_arrive(provider: FakeProvider, sdk: ollama.AsyncClient) -> None:
    asks = [{"role": "user", "content": "Look", "images": [b"\x89PNG"]}]
    await sdk.chat(model="m", messages=asks, options={"num_ctx": 8192}, format="json", keep_alive="5m")
    sent = json.loads(provider.requests[-1].body)
    assert sent["messages"][0]["images"] == ["iVBORw=="]
    assert (sent["options"], sent["format"], sent["keep_alive"]) == ({"num_ctx": 8192}, "json", "5m")
