"""The fake provider words generateContent as Google does, and can be wrong in Google's ways."""

from __future__ import annotations

import json
from collections.abc import Sequence

import httpx
import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, StreamInterruptedError
from loomwire.domain.messages import Message
from loomwire.domain.pricing import NO_USAGE, Usage
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import FAULTS, Failure, FakeProvider, Fault, HttpReply, Reply
from loomwire.testing.contracts.client_claims.harness import told_by_stream
from loomwire.testing.speakers.table import listing_for, speaker_for, speaker_of

CALLS = (ToolCall("call_a", "look", {"case": 1}), ToolCall("call_b", "see", {"case": 2}))
SAID = "The harbour opens at seven, the market at eight."
SAFE = sorted(name for name, kind in FAULTS.items() if kind.strikes == "content")
ASK: JSON = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


async def asked(provider: FakeProvider, *, stream: bool) -> LLMResponse[str]:
    pool = ConnectionPool()
    try:
        config = LLMConfig.gemini("gemini-x", api_key="k", base_url=provider.base_url, allow_private=True)
        client = ClientFactory(pool, SystemClock()).create(config)
        request = LLMRequest.of("Hi", deadline_s=5)
        return await (told_by_stream(client, request) if stream else client.generate(request))
    finally:
        await pool.aclose()


async def ended(provider: FakeProvider, *, stream: bool) -> LLMResponse[str] | LLMError:
    try:
        return await asked(provider, stream=stream)
    except LLMError as error:
        return error


async def posted(reply: Reply, method: str, body: JSON = ASK) -> httpx.Response:
    async with FakeProvider(then=reply) as provider, httpx.AsyncClient() as http:
        url = f"{provider.base_url.removesuffix('/v1')}/v1beta/models/gemini-x:{method}"
        return await http.post(url, json=body)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("fault", SAFE)
async def test_every_fault_ends_in_the_right_answer_or_a_typed_error(fault: str, stream: bool) -> None:
    is_call = "call" in fault
    usage = Usage(1000, 100)
    reply = Reply(tool_calls=CALLS, usage=usage) if is_call else Reply(SAID, usage=usage)
    async with FakeProvider(then=Fault(fault, reply)) as provider:
        response = await ended(provider, stream=stream)
    if isinstance(response, LLMError):
        assert (response.__cause__, response.__context__) == (None, None)
        assert not isinstance(response, StreamInterruptedError) or SAID.startswith(response.partial_text)
        return
    assert response.text == ("" if is_call else Fault(fault, reply).said)
    assert [(call.name, call.arguments) for call in response.tool_calls] == (
        [(call.name, call.arguments) for call in CALLS] if is_call else []
    )
    assert len({call.id for call in response.tool_calls}) == len(response.tool_calls)
    told = response.usage
    assert told.estimated or not told.known or (told.input_tokens, told.output_tokens) == (1000, 100)


async def test_a_plain_answer_has_googles_fields() -> None:
    reply = Reply("Rain.", reasoning="Hm.", usage=Usage(12, 9, 3, 0, 4), signature="c2ln")
    body = (await posted(reply, "generateContent")).json()
    assert body.pop("responseId").startswith("resp-0")
    assert body == {
        "candidates": [
            {
                "content": {
                    "parts": [{"text": "Hm.", "thought": True}, {"text": "Rain.", "thoughtSignature": "c2ln"}],
                    "role": "model",
                },
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 12,
            "candidatesTokenCount": 5,
            "totalTokenCount": 21,
            "cachedContentTokenCount": 3,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 12}],
            "thoughtsTokenCount": 4,
        },
        "modelVersion": "gemini-x",
    }


async def test_a_stream_comes_as_events_or_as_an_array_as_it_was_asked_for() -> None:
    reply = Reply("It rains.", tool_calls=(ToolCall("", "look", {}),), signature="c2ln", usage=Usage(3, 4))
    events = await posted(reply, "streamGenerateContent?alt=sse")
    array = await posted(reply, "streamGenerateContent")
    assert events.headers["content-type"] == "text/event-stream"
    assert array.headers["content-type"].startswith("application/json")
    assert events.text.endswith("\r\n\r\n")
    chunks = [json.loads(each.removeprefix("data: ")) for each in events.text.split("\r\n\r\n") if each]
    assert chunks == array.json()
    parts = [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
    assert parts == [
        {"text": "It "},
        {"text": "rains."},
        {"functionCall": {"name": "look", "args": {}}, "thoughtSignature": "c2ln"},
        {"text": ""},
    ]
    assert [chunk["candidates"][0].get("finishReason") for chunk in chunks] == [None, None, None, "STOP"]
    assert chunks[0]["usageMetadata"]["totalTokenCount"] == 3


async def test_a_reply_without_usage_tells_none() -> None:
    assert "usageMetadata" not in (await posted(Reply("a", usage=NO_USAGE), "generateContent")).json()


@pytest.mark.parametrize("raw", ['{"a": 1}', '{"a"', ""])
async def test_arguments_that_are_no_object_are_said_as_they_are(raw: str) -> None:
    reply = Reply(tool_calls=(ToolCall("x", "look", None, raw),), finish="length")
    for stream in (False, True):
        async with FakeProvider(then=reply) as provider:
            (call,) = (await asked(provider, stream=stream)).tool_calls
        wanted = {'{"a": 1}': ({"a": 1}, ""), '{"a"': (None, '{"a"'), "": ({}, "")}[raw]
        assert (call.arguments, call.raw_arguments) == wanted


@pytest.mark.parametrize("body", [{}, {"contents": "Hi"}, [], "text"])
async def test_what_is_no_request_is_refused_as_google_does(body: JSON) -> None:
    refused = await posted(Reply("a"), "generateContent", body)
    assert refused.status_code == 400
    assert refused.json()["error"]["status"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_broken_answer_has_no_end(stream: bool) -> None:
    async with FakeProvider(then=Reply("It rains all day.", cut_after=8)) as provider:
        with pytest.raises(StreamInterruptedError if stream else LLMError):
            await asked(provider, stream=stream)


async def test_a_broken_stream_says_a_call_whole_or_not_at_all() -> None:
    for count, said in ((11, []), (15, ["look"])):
        async with FakeProvider(then=Reply("ab", CALLS, cut_after=count)) as provider:
            with pytest.raises(StreamInterruptedError) as caught:
                await asked(provider, stream=True)
        assert [call.name for call in caught.value.partial_tool_calls] == said


async def test_a_broken_array_is_interrupted() -> None:
    async with FakeProvider(then=Reply("It rains all day.", cut_after=8)) as provider, httpx.AsyncClient() as http:
        url = f"{provider.base_url}/models/m:streamGenerateContent"
        with pytest.raises(httpx.RemoteProtocolError):
            await http.post(url, json=ASK)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_signature_on_a_text_goes_back_where_it_stood(stream: bool) -> None:
    pool = ConnectionPool()
    async with FakeProvider(Reply("It rains.", reasoning="Hm.", signature="c2ln"), then="And?") as provider:
        config = LLMConfig.gemini("gemini-x", api_key="k", base_url=provider.base_url, allow_private=True)
        client = ClientFactory(pool, SystemClock()).create(config)
        request = LLMRequest.of("Hi")
        answer = await (told_by_stream(client, request) if stream else client.generate(request))
        await client.generate(request.extended(answer.message, Message.user("And?")))
        sent = json.loads(provider.requests[-1].body)["contents"][1]["parts"]
        await pool.aclose()
    last = [{"text": "It rains."}, {"text": "", "thoughtSignature": "c2ln"}]
    whole = [{"text": "It rains.", "thoughtSignature": "c2ln"}]
    assert sent == [{"text": "Hm.", "thought": True}, *(last if stream else whole)]


def test_a_listing_is_googles_at_googles_place() -> None:
    speaker = speaker_of("gemini")
    found = speaker.listing("/v1beta/models", ["a"])
    assert isinstance(found, HttpReply)
    assert isinstance(found.body, dict)
    rows = found.body["models"]
    assert isinstance(rows, Sequence)
    assert [row["name"] for row in rows if isinstance(row, dict)] == ["models/a"]
    assert speaker.listing("/v1/models", ["a"]) is None
    assert listing_for("/v1beta/models", ["a"]) == found


@pytest.mark.parametrize(
    ("path", "serves"),
    [
        ("/v1beta/models/gemini-x:generateContent", True),
        ("/v1/projects/p/locations/l/publishers/google/models/x:streamGenerateContent?alt=sse", True),
        ("/v1beta/tunedModels/mine:generateContent", True),
        ("/v1beta/models/gemini-x:countTokens", False),
        ("/v1beta/models", False),
        ("/v1/chat/completions", False),
    ],
)
def test_its_paths_are_googles(path: str, serves: bool) -> None:
    assert (speaker_for(path) is speaker_of("gemini")) == serves


async def test_a_failure_is_refused_and_a_long_prompt_said_as_google_does() -> None:
    refused = await posted(Reply(failure=Failure("context_length", "Shorten it.")), "generateContent")
    assert refused.json()["error"]["message"].startswith("The input token count (")
    assert refused.json()["error"]["message"].endswith("Shorten it.")
    assert speaker_of("gemini").asks("/v1/elsewhere", b'{"contents": []}') is None


async def test_many_different_replies_are_not_remembered_for_ever() -> None:
    async with FakeProvider(*(Reply(f"Answer {number}.") for number in range(70))) as provider:
        for number in range(70):
            assert (await asked(provider, stream=False)).text == f"Answer {number}."


def test_refusals_carry_googles_details() -> None:
    speaker = speaker_of("gemini")
    assert "API_KEY_INVALID" in json.dumps(speaker.refusal(Failure("credentials")).body, default=dict)
    assert "PerDay" in json.dumps(speaker.refusal(Failure("quota_exhausted")).body, default=dict)
    assert '"retryDelay": "2.5s"' in json.dumps(
        speaker.refusal(Failure("throttled", retry_after=2.5)).body, default=dict
    )
    assert listing_for("/v1/models", ["a"]) is not None
