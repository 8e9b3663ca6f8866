"""Our own client and the fake provider agree over the Responses API, and a whole conversation survives on it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, StreamInterruptedError
from loomwire.domain.messages import Message, ToolResult
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.pricing import NO_USAGE, Usage
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import Finish, LLMResponse
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import Failure, FakeProvider, Fault, HttpReply, Reply
from loomwire.testing.speakers.openai_responses import ResponsesSpeaker
from loomwire.testing.speaking import REFUSALS, Saying
from loomwire.testing.wire import ReceivedRequest

HI = LLMRequest.of("Hi")
ADD = Tool("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}})
CALLS = (ToolCall("call_a", "add", {"a": 1}), ToolCall("call_b", "add", {"a": 2}))
RICH = Reply("Let me add. ", CALLS, "They want sums.", usage=Usage(10, 8, 1, 2, 3), signature="gAAAA-signed")


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    """A server that says something of every kind."""
    async with FakeProvider(then=RICH) as server:
        yield server


@pytest.fixture
async def client(provider: FakeProvider) -> AsyncIterator[ILLMClient]:
    """Our client of it."""
    pool = ConnectionPool()
    config = LLMConfig(
        type="custom", model="o4", dialect="openai_responses", base_url=provider.base_url, allow_private=True
    )
    yield ClientFactory(pool, SystemClock()).create(config)
    await pool.aclose()


async def streamed(client: ILLMClient, request: LLMRequest = HI) -> LLMResponse[str]:
    """Ask for a stream and read it."""
    async with client.stream(request) as stream:
        async for _ in stream:
            pass
        return stream.response


def bare(response: LLMResponse[str]) -> LLMResponse[str]:
    """Return an answer without what counts requests."""
    reasoning = tuple(replace(item, id=None, wire=None) for item in response.reasoning)
    return replace(response, request_id=None, response_id=None, reasoning=reasoning)


async def test_a_stream_and_a_plain_answer_say_the_same(client: ILLMClient) -> None:
    whole = await client.generate(HI)
    assert bare(whole) == bare(await streamed(client))
    assert (whole.text, whole.tool_calls, whole.finish) == ("Let me add. ", CALLS, "tool_calls")
    assert whole.usage == Usage(10, 8, 1, 2, 3, reported_total=18)
    assert [(item.text, item.signature, item.origin) for item in whole.reasoning] == [
        ("They want sums.", "gAAAA-signed", "openai_responses")
    ]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_thinking_survives_a_round_of_tools_unchanged(
    provider: FakeProvider, client: ILLMClient, stream: bool
) -> None:
    first = replace(HI, tools=(ADD,))
    answer = await streamed(client, first) if stream else await client.generate(first)
    results = Message.tool(ToolResult("call_a", 1), ToolResult("call_b", "overflow", is_error=True))
    await client.generate(first.extended(answer.message, results))
    sent: Mapping[str, JSON] = json.loads(provider.requests[-1].body)
    number = answer.response_id.removeprefix("resp_") if answer.response_id else ""
    assert sent["input"] == [
        {"role": "user", "content": "Hi"},
        {
            "id": f"rs_{number}",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "They want sums."}],
            "encrypted_content": "gAAAA-signed",
        },
        {"role": "assistant", "content": "Let me add. "},
        {"type": "function_call", "call_id": "call_a", "name": "add", "arguments": '{"a":1}'},
        {"type": "function_call", "call_id": "call_b", "name": "add", "arguments": '{"a":2}'},
        {"type": "function_call_output", "call_id": "call_a", "output": "1"},
        {"type": "function_call_output", "call_id": "call_b", "output": "overflow"},
    ]
    assert (sent["store"], sent["include"]) == (False, ["reasoning.encrypted_content"])


@pytest.mark.parametrize(
    ("finish", "read", "word"),
    [
        ("stop", "stop", "completed"),
        ("tool_calls", "stop", "completed"),
        ("length", "length", "max_output_tokens"),
        ("content_filter", "content_filter", "content_filter"),
        ("pause", "other", "pause"),
        ("other", "other", "other"),
    ],
)
async def test_every_end_has_its_word(
    provider: FakeProvider, client: ILLMClient, finish: Finish, read: Finish, word: str
) -> None:
    said = Reply("Hel", finish=finish, usage=NO_USAGE)
    provider.queue(said, said)
    for answer in (await client.generate(HI), await streamed(client)):
        assert (answer.finish, answer.finish_wire, answer.usage.known) == (read, word, False)


async def test_an_answer_that_fails_is_an_error(provider: FakeProvider, client: ILLMClient) -> None:
    provider.queue(Reply("Hel", finish="error"), Reply("Hel", finish="error"))
    for failing in (client.generate(HI), streamed(client)):
        with pytest.raises(LLMError) as caught:
            await failing
        assert (caught.value.reason, caught.value.provider_code) == ("server", "server_error")


@pytest.mark.parametrize("reason", REFUSALS)
async def test_every_refusal_is_read_as_it_was_meant(provider: FakeProvider, client: ILLMClient, reason: str) -> None:
    provider.queue(Reply(failure=Failure(reason)))
    with pytest.raises(LLMError) as caught:
        await client.generate(HI)
    assert caught.value.reason == reason


@pytest.mark.parametrize("after", [0, 3, 18, 30, 99])
async def test_a_cut_stream_is_never_an_answer(provider: FakeProvider, client: ILLMClient, after: int) -> None:
    provider.queue(replace(RICH, cut_after=after))
    with pytest.raises(LLMError) as caught:
        await streamed(client)
    if isinstance(caught.value, StreamInterruptedError):
        assert "Let me add. ".startswith(caught.value.partial_text)


FAULTS: Mapping[str, tuple[bool, bool]] = {
    "no_finish_reason": (True, True),
    "content_parts": (True, True),
    "no_call_id": (True, True),
    "same_call_id": (True, True),
    "same_call_index": (True, True),
    "message_in_stream": (True, True),
    "duplicate_keys": (True, True),
    "foreign_answer": (True, True),
    "negative_usage": (True, True),
    "two_choices": (True, True),
    "stray_call_index": (True, False),
    "empty_choices": (False, False),
    "long_number": (False, False),
}
"""Faults of content, each with whether a plain and a streamed answer can still be read."""


@pytest.mark.parametrize("name", FAULTS)
async def test_a_spoiled_answer_is_read_right_or_not_at_all(
    provider: FakeProvider, client: ILLMClient, name: str
) -> None:
    provider.queue(Fault(name, RICH), Fault(name, RICH))
    for stream, is_read in zip((False, True), FAULTS[name], strict=True):
        asking = streamed(client) if stream else client.generate(HI)
        if not is_read:
            with pytest.raises(LLMError):
                await asking
            continue
        answer = await asking
        assert answer.text == "Let me add. "
        assert [call.arguments for call in answer.tool_calls] == [{"a": 1}, {"a": 2}]
        assert len({call.id for call in answer.tool_calls}) == 2


def test_only_what_is_the_dialects_is_answered() -> None:
    speaker = ResponsesSpeaker()
    assert speaker.serves("/v1/responses")
    assert not speaker.serves("/v1/chat/completions")
    assert speaker.asks("/v1/responses", b'{"model": 5}') is None
    assert speaker.asks("/v1/responses", b"\xff") is None
    assert speaker.listing("/v1/models", ["m"]) is not None
    worded = speaker.words(Reply("Hi"), ReceivedRequest("POST", "/v1/responses", b"", b"[]", (1, 1, 1)))
    assert isinstance(worded, HttpReply)
    assert worded.status == 400


def test_no_text_can_be_taken_for_the_number_of_a_request() -> None:
    said = "\0" * 12 + "text"
    request = ReceivedRequest("POST", "/v1/responses", b"", b'{"model": "m"}', (7, 1, 1))
    worded = ResponsesSpeaker().words(Reply(said), request)
    assert isinstance(worded, Saying)
    body = json.loads(worded.body)
    assert body["output"][0]["content"][0]["text"] == said
    assert body["id"] == "resp_000000000007"


def test_each_of_many_kinds_of_requests_is_worded_for_itself() -> None:
    speaker = ResponsesSpeaker()
    for number in range(200):
        body = json.dumps({"model": f"m{number}"}).encode()
        worded = speaker.words(RICH, ReceivedRequest("POST", "/v1/responses", b"", body, (number, 1, 1)))
        assert isinstance(worded, Saying)
        assert (worded.model, json.loads(worded.body)["model"]) == (f"m{number}", f"m{number}")
