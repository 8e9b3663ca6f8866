"""The official anthropic SDK asks our fake provider: an independent witness that the server speaks the protocol.

The SDK checks every body and event against its own types (`_strict_response_validation`), and nothing leaves loopback.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from io import StringIO

import anthropic
import httpx2
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import (
    Message,
    MessageParam,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolParam,
    ToolUseBlock,
)

from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON, FrozenDict, ToolCall
from loomwire.testing import Failure, FakeProvider, HttpReply, Reply

ASKS: list[MessageParam] = [{"role": "user", "content": "Hi"}]
ADD: ToolParam = {"name": "add", "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}
ONE = ToolCall("toolu_a", "add", FrozenDict({"a": 1}))
TWO = ToolCall("toolu_b", "add", FrozenDict({"a": 2, "why": "because of the long words in here"}))
USED = Usage(120, 30, cache_read_tokens=100, cache_write_tokens=5, reasoning_tokens=20)


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    """A server that answers `Hello there.` unless told otherwise."""
    async with FakeProvider(then="Hello there.") as server:
        yield server


@pytest.fixture
async def sdk(provider: FakeProvider) -> AsyncIterator[AsyncAnthropic]:
    """The SDK as its users have it, but that it takes no deviation and sends nothing twice."""
    root = provider.base_url.removesuffix("/v1")
    async with AsyncAnthropic(
        api_key="sk-witness", base_url=root, max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


async def ask(sdk: AsyncAnthropic) -> Message:
    return await sdk.messages.create(model="claude-x", max_tokens=99, messages=ASKS, tools=[ADD])


async def streamed(sdk: AsyncAnthropic) -> tuple[list[str], Message]:
    """Return the kinds of a stream's events and what they make."""
    async with sdk.messages.stream(model="claude-x", max_tokens=99, messages=ASKS, tools=[ADD]) as stream:
        kinds = [str(event.type) async for event in stream]
        return kinds, await stream.get_final_message()


@pytest.mark.parametrize("missing", ["id", "content", "model", "usage", "role"])
async def test_the_witness_is_strict(provider: FakeProvider, sdk: AsyncAnthropic, missing: str) -> None:
    usage: JSON = {"input_tokens": 1, "output_tokens": 1}
    whole: dict[str, JSON] = {"id": "x", "type": "message", "role": "assistant", "content": [], "model": "m"}
    whole |= {"usage": usage, "stop_reason": "end_turn", "stop_sequence": None}
    provider.queue(HttpReply(body=whole), HttpReply(body={key: whole[key] for key in whole if key != missing}))
    assert (await ask(sdk)).id == "x"
    with pytest.raises(anthropic.APIResponseValidationError):
        await ask(sdk)


async def test_a_plain_answer_is_a_valid_message(sdk: AsyncAnthropic, provider: FakeProvider) -> None:
    raw = await sdk.messages.with_raw_response.create(model="claude-x", max_tokens=99, messages=ASKS)
    answer = await raw.parse()
    (block,) = answer.content
    assert isinstance(block, TextBlock)
    assert (block.text, answer.stop_reason, answer.role) == ("Hello there.", "end_turn", "assistant")
    assert (answer.model, answer.type, answer.stop_sequence) == ("claude-x", "message", None)
    assert answer.id == "msg_000000000001"
    assert raw.headers["request-id"] == provider.requests[-1].id


async def test_a_stream_makes_the_same_message_of_pieces(sdk: AsyncAnthropic) -> None:
    kinds, final = await streamed(sdk)
    (block,) = final.content
    assert isinstance(block, TextBlock)
    assert (block.text, final.stop_reason) == ("Hello there.", "end_turn")
    assert kinds.count("text") > 1
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")


@pytest.mark.parametrize("calls", [(ONE,), (ONE, TWO)])
async def test_thinking_and_calls_come_whole_and_are_put_together_from_a_stream(
    provider: FakeProvider, sdk: AsyncAnthropic, calls: tuple[ToolCall, ...]
) -> None:
    reply = Reply("Let me see. ", calls, "Hm, hm.", signature="c2ln")
    provider.queue(reply, reply)
    _, from_stream = await streamed(sdk)
    for answer in (await ask(sdk), from_stream):
        thinking, text, *uses = answer.content
        assert isinstance(thinking, ThinkingBlock)
        assert (thinking.thinking, thinking.signature) == ("Hm, hm.", "c2ln")
        assert isinstance(text, TextBlock)
        assert text.text == "Let me see. "
        got = [(use.id, use.name, use.input) for use in uses if isinstance(use, ToolUseBlock)]
        assert got == [(call.id, call.name, dict(call.arguments or {})) for call in calls]
        assert answer.stop_reason == "tool_use"
        assert not any(isinstance(block, RedactedThinkingBlock) for block in answer.content)


async def test_usage_is_told_with_its_parts(provider: FakeProvider, sdk: AsyncAnthropic) -> None:
    provider.queue(Reply("Four.", usage=USED), Reply("Four.", usage=USED))
    _, from_stream = await streamed(sdk)
    for answer in (await ask(sdk), from_stream):
        usage = answer.usage
        assert (usage.input_tokens, usage.output_tokens) == (15, 30)
        assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (100, 5)
        assert usage.output_tokens_details is not None
        assert usage.output_tokens_details.thinking_tokens == 20


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reason", "kind", "status", "word"),
    [
        ("credentials", anthropic.AuthenticationError, 401, "authentication_error"),
        ("denied", anthropic.PermissionDeniedError, 403, "permission_error"),
        ("model", anthropic.NotFoundError, 404, "not_found_error"),
        ("conflict", anthropic.ConflictError, 409, "invalid_request_error"),
        ("throttled", anthropic.RateLimitError, 429, "rate_limit_error"),
        ("invalid_request", anthropic.BadRequestError, 400, "invalid_request_error"),
        ("context_length", anthropic.BadRequestError, 400, "invalid_request_error"),
        ("server", anthropic.InternalServerError, 500, "api_error"),
    ],
)
async def test_a_failure_is_the_sdks_own_exception(
    provider: FakeProvider,
    sdk: AsyncAnthropic,
    reason: str,
    kind: type[anthropic.APIStatusError],
    status: int,
    word: str,
    stream: bool,
) -> None:
    provider.queue(Reply(failure=Failure(reason, message="No, because.")))
    with pytest.raises(kind) as caught:
        await sdk.messages.create(model="claude-x", max_tokens=9, messages=ASKS, stream=stream)
    error = caught.value
    assert error.status_code == status
    assert isinstance(error.body, dict)
    assert error.body["error"]["type"] == word
    assert "No, because." in error.message
    assert error.request_id == provider.requests[-1].id == error.body["request_id"]


@pytest.mark.parametrize(("reason", "status"), [("overloaded", 529), ("quota_exhausted", 402)])
async def test_further_failures_keep_their_status(
    provider: FakeProvider, sdk: AsyncAnthropic, reason: str, status: int
) -> None:
    provider.queue(Reply(failure=Failure(reason)))
    with pytest.raises(anthropic.APIStatusError) as caught:
        await ask(sdk)
    assert caught.value.status_code == status


async def test_the_sdk_waits_as_long_as_retry_after_says(provider: FakeProvider, sdk: AsyncAnthropic) -> None:
    provider.queue(Reply(failure=Failure("throttled", retry_after=0.55)))
    answer = await ask(sdk.with_options(max_retries=1))
    assert isinstance(answer.content[0], TextBlock)
    first, second = provider.requests
    assert second.received_at - first.received_at >= 0.55


async def test_a_stream_that_is_cut_keeps_its_text_and_is_an_error(provider: FakeProvider, sdk: AsyncAnthropic) -> None:
    provider.queue(Reply("Hello there.", cut_after=5))
    said = StringIO()

    async def listen() -> None:
        async with sdk.messages.stream(model="claude-x", max_tokens=9, messages=ASKS) as stream:
            async for text in stream.text_stream:
                said.write(text)

    # The SDK lets its transport's error through.
    with pytest.raises(httpx2.RemoteProtocolError):
        await listen()
    assert said.getvalue() == "Hello"


async def test_a_request_without_a_bound_of_the_output_is_refused(provider: FakeProvider, sdk: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.BadRequestError):
        await sdk.post("/v1/messages", body={"model": "m", "messages": ASKS}, cast_to=Message)
    assert json.loads(provider.requests[-1].body) == {"model": "m", "messages": ASKS}


async def test_the_key_goes_nowhere_but_to_the_server(provider: FakeProvider, sdk: AsyncAnthropic) -> None:
    await ask(sdk)
    assert provider.requests[-1].headers["authorization"] == "Bearer sk-witness"
    assert "sk-witness" not in repr(provider.requests[-1])
