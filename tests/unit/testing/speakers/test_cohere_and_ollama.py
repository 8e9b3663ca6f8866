"""The fake provider says replies as Cohere and Ollama do, and our clients read them, right or spoiled."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.messages import Message, Reasoning, ToolResult
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.pricing import Usage
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import FAULTS, Failure, FakeProvider, Fault, HttpReply, ReceivedRequest, Reply
from loomwire.testing.speakers.table import speaker_for, speaker_of
from loomwire.testing.speaking import REFUSALS, Saying, Speaker
from support.dialects import target_of

DIALECTS = ("cohere", "ollama")
PATHS = {"cohere": "/v2/chat", "ollama": "/api/chat"}
LOOK = Tool("look", parameters={"type": "object", "properties": {"n": {"type": "integer"}}})
CALLS = (ToolCall("a", "look", {"n": 1}), ToolCall("b", "look", {"n": 2}))
REPLY = Reply("One two three.", CALLS, "Hm, hm.", usage=Usage(12, 34))
BY_DIALECT = sorted(
    name for name in speaker_of("cohere").spoiled(Saying(model="", usage=Usage(), content_type="", request_id=""))
)
SPOILING = sorted(name for name, kind in FAULTS.items() if kind.strikes == "content")
every_dialect = pytest.mark.parametrize("dialect", DIALECTS)
every_mode = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


@asynccontextmanager
async def asking(provider: FakeProvider, dialect: str) -> AsyncGenerator[ILLMClient]:
    """A client of a dialect on a provider."""
    pool = ConnectionPool()
    async with provider:
        yield ClientFactory(pool, SystemClock()).create(target_of(dialect, provider.base_url))
        await pool.aclose()


async def answered(client: ILLMClient, request: LLMRequest, *, stream: bool) -> LLMResponse[str]:
    """Ask once, whole or as a stream."""
    if not stream:
        return await client.generate(request)
    async with client.stream(request) as opened:
        async for _ in opened:
            pass
        return opened.response


def received(dialect: str, body: Mapping[str, JSON] | bytes, number: int = 1) -> ReceivedRequest:
    """Return a request as the server has it."""
    sent = body if isinstance(body, bytes) else json.dumps(body, default=dict).encode()
    return ReceivedRequest("POST", PATHS[dialect], b"", sent, (number, 1, 1))


def said(dialect: str, reply: Reply = REPLY, *, stream: bool = False, number: int = 1) -> Saying:
    """Return how a reply is worded."""
    worded = speaker_of(dialect).words(reply, received(dialect, {"model": "m", "stream": stream}, number))
    assert isinstance(worded, Saying)
    return worded


@every_mode
@every_dialect
async def test_a_reply_is_read_as_it_was_meant(dialect: str, stream: bool) -> None:
    async with asking(FakeProvider(then=REPLY), dialect) as client:
        response = await answered(client, LLMRequest.of("Hi", tools=[LOOK]), stream=stream)
    assert (response.text, response.tool_calls, response.finish) == (REPLY.text, CALLS, "tool_calls")
    assert "".join(item.text for item in response.reasoning) == REPLY.reasoning
    assert (response.usage.input_tokens, response.usage.output_tokens) == (12, 34)
    assert response.request_id == "req-000000000001"


@every_mode
@every_dialect
async def test_a_round_of_tools_gives_the_thinking_back_unchanged(dialect: str, stream: bool) -> None:
    asked = LLMRequest.of("Hi", tools=[LOOK])
    results = Message.tool(*(ToolResult(call.id, "Done.", name=call.name) for call in CALLS))
    provider = FakeProvider(REPLY, then="Good.")
    async with asking(provider, dialect) as client:
        first = await answered(client, asked, stream=stream)
        second = await answered(client, asked.extended(first.message, results), stream=stream)
        sent = json.loads(provider.requests[-1].body)["messages"][1]
    assert second.text == "Good."
    if dialect == "cohere":
        assert first.reasoning == (Reasoning("Hm, hm.", origin="cohere"),)
        assert sent["content"][0] == {"type": "thinking", "thinking": "Hm, hm."}
    else:
        assert (sent["thinking"], sent["content"]) == ("Hm, hm.", "One two three.")
    assert [call["id"] for call in sent["tool_calls"]] == ["a", "b"]


async def test_a_plan_comes_back_to_cohere_with_its_calls() -> None:
    call: JSON = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    message: JSON = {"role": "assistant", "tool_plan": "I look.", "tool_calls": [call]}
    planned = HttpReply(body={"id": "x", "message": message, "finish_reason": "TOOL_CALL"})
    provider = FakeProvider(planned, then="Good.")
    asked = LLMRequest.of("Hi", tools=[LOOK])
    async with asking(provider, "cohere") as client:
        first = await client.generate(asked)
        await client.generate(asked.extended(first.message, Message.tool(ToolResult("a", "Done."))))
        assert json.loads(provider.requests[-1].body)["messages"][1] == message


@every_dialect
@pytest.mark.parametrize("reason", sorted(set(REFUSALS) - {"content_filter"}))
async def test_a_refusal_is_read_as_what_it_is(dialect: str, reason: str) -> None:
    async with asking(FakeProvider(then=Reply(failure=Failure(reason, retry_after=2))), dialect) as client:
        with pytest.raises(LLMError) as caught:
            await client.generate(LLMRequest.of("Hi"))
    assert (caught.value.reason, caught.value.retry_after) == (reason, 2)


@every_dialect
async def test_an_error_inside_a_stream_is_an_error(dialect: str) -> None:
    event = speaker_of(dialect).error_event(Failure("context_length"))
    kind = said(dialect, stream=True).content_type
    broken = HttpReply(chunks=[event], headers={"content-type": kind})
    async with asking(FakeProvider(then=broken), dialect) as client:
        with pytest.raises(LLMError) as caught:
            await answered(client, LLMRequest.of("Hi"), stream=True)
    assert caught.value.reason == "context_length"


@every_mode
@every_dialect
@pytest.mark.parametrize("fault", SPOILING)
async def test_a_spoiled_answer_is_read_rightly_or_is_a_typed_error(fault: str, dialect: str, stream: bool) -> None:
    async with asking(FakeProvider(then=Fault(fault, REPLY)), dialect) as client:
        try:
            response = await answered(client, LLMRequest.of("Hi"), stream=stream)
        except LLMError:
            return
    told = Fault(fault, REPLY).said
    # With an empty list where the content belongs there is none; where a key stands twice the last one counts.
    assert response.text in (told, "" if fault == "empty_choices" else told)
    assert {call.name for call in response.tool_calls} <= {"look"}
    assert [call.arguments for call in response.tool_calls] in ([{"n": 1}, {"n": 2}], [])


@every_mode
@every_dialect
@pytest.mark.parametrize("fault", BY_DIALECT)
def test_a_dialects_own_fault_changes_the_answer_and_leaves_it_json(fault: str, dialect: str, stream: bool) -> None:
    right = said(dialect, stream=stream)
    spoiled = speaker_of(dialect).spoiled(right).get(fault)
    if spoiled is None:  # Ollama has no fragments of calls, and its streams are made of messages
        assert (dialect, fault in ("message_in_stream", "stray_call_index")) == ("ollama", True)
        return
    touched = (spoiled.body, spoiled.events, spoiled.request_id) != (right.body, right.events, right.request_id)
    only_streamed = FAULTS[fault].stream_only and not stream and dialect == "cohere"
    assert touched is not only_streamed
    for event in (spoiled.body, *spoiled.events):
        text = event[event.find(b"{") : event.rfind(b"}") + 1]
        assert not text or b"9" * 99 in text or json.loads(text)


@every_dialect
def test_answers_are_worded_once_and_numbered_each(dialect: str) -> None:
    first, second = said(dialect, number=1), said(dialect, number=2)
    assert (first.request_id, second.request_id) == ("req-000000000001", "req-000000000002")
    assert b"\0" not in first.body
    if dialect == "cohere":
        assert json.loads(second.body)["id"].endswith("-000000000002")
    streamed = said(dialect, stream=True)
    assert said(dialect, stream=True).events == streamed.events


@every_dialect
def test_a_text_that_looks_like_a_mark_stays_itself(dialect: str) -> None:
    odd = Reply("00000000-0000-4000-8000-" + "\0" * 12)
    content = json.loads(said(dialect, odd).body)["message"]["content"]
    assert odd.text in (content, content[0]["text"] if isinstance(content, list) else "")


@every_dialect
def test_requests_of_many_kinds_are_all_worded_rightly(dialect: str) -> None:
    speaker = speaker_of(dialect)
    for number in range(100):
        worded = speaker.words(REPLY, received(dialect, {"model": f"m{number}", "stream": False}))
        assert isinstance(worded, Saying)
        assert worded.model == f"m{number}"


@every_dialect
def test_what_is_no_request_is_refused(dialect: str) -> None:
    for body in (b"<html>", b"\xff", b"[]"):
        request = received(dialect, body)
        assert speaker_of(dialect).asks(request.path, body) is None
        refused = speaker_of(dialect).words(REPLY, request)
        assert isinstance(refused, HttpReply)
        assert refused.status == 400


def test_each_path_has_its_own_speaker() -> None:
    def name(path: str) -> str | None:
        speaker: Speaker | None = speaker_for(path)
        return None if speaker is None else type(speaker).__name__

    assert (name("/v1/chat"), name("/v2/chat?x=1"), name("/v1/api/chat")) == (
        "CohereSpeaker",
        "CohereSpeaker",
        "OllamaSpeaker",
    )
    assert name("/api/tags") is None


def test_models_are_listed_as_each_vendor_does() -> None:
    cohere, ollama = speaker_of("cohere"), speaker_of("ollama")
    listed = cohere.listing("/v1/models", ["command-x"])
    assert listed is not None
    assert isinstance(listed.body, Mapping)
    assert listed.body["models"] == [
        {"name": "command-x", "endpoints": ["chat"], "finetuned": False, "context_length": 128_000}
    ]
    assert (cohere.listing("/api/tags", []), ollama.listing("/v1/models", [])) == (None, None)
    tags = ollama.listing("/api/tags", ["llama-x"])
    assert tags is not None
    assert "llama-x" in json.dumps(tags.body, default=dict)


async def test_ollama_streams_unless_told_not_to() -> None:
    async with FakeProvider(then="Hi there") as provider, httpx.AsyncClient() as http:
        url = provider.base_url.removesuffix("/v1") + "/api/chat"
        streamed = await http.post(url, json={"model": "m"})
        plain = await http.post(url, json={"model": "m", "stream": False})
    assert streamed.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(each) for each in streamed.text.splitlines()]
    assert [each["done"] for each in lines] == [False] * (len(lines) - 1) + [True]
    assert plain.json()["message"]["content"] == "Hi there"


async def test_a_whole_answer_printed_over_lines_is_read_where_a_stream_was_asked_for() -> None:
    body: JSON = {"model": "m", "message": {"role": "assistant", "content": "Hi"}, "done": True, "done_reason": "stop"}
    printed = json.dumps(body, indent=2, default=dict).encode()
    for kind in ("application/json", "application/x-ndjson"):
        reply = HttpReply(chunks=[printed[:9], printed[9:]], headers={"content-type": kind})
        async with asking(FakeProvider(then=reply), "ollama") as client:
            response = await answered(client, LLMRequest.of("Hi"), stream=True)
        assert (response.text, response.finish) == ("Hi", "stop")


@every_mode
@every_dialect
@pytest.mark.parametrize("cut", [0, 5, 12, 25, 30, 60])
async def test_a_cut_reply_is_never_an_answer(cut: int, dialect: str, stream: bool) -> None:
    async with asking(FakeProvider(then=replace(REPLY, cut_after=cut)), dialect) as client:
        with pytest.raises(LLMError):
            await answered(client, LLMRequest.of("Hi"), stream=stream)


@pytest.mark.parametrize(("type_", "path"), [("cohere", "/v2/chat"), ("ollama", "/api/chat")])
async def test_the_quick_constructors_ask_their_vendor(type_: str, path: str) -> None:
    pool = ConnectionPool()
    async with FakeProvider(then="Hello.") as provider:
        base = provider.base_url.removesuffix("/v1") + path.removesuffix("/chat").removesuffix("/api")
        make = LLMConfig.cohere if type_ == "cohere" else LLMConfig.ollama
        config = make("m", api_key="k", base_url=base, allow_private=True)
        assert (config.type, config.name) == (type_, type_)
        assert (await ClientFactory(pool, SystemClock()).create(config).generate(LLMRequest.of("Hi"))).text == "Hello."
        assert provider.requests[0].path == path
        await pool.aclose()
