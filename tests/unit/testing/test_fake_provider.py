"""The loopback provider, seen by an independent HTTP client (httpx) and by bare sockets."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import ssl
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest
import trustme
from typing_extensions import override

from loomwire import testing
from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON, FrozenDict, ToolCall
from loomwire.testing import (
    After,
    End,
    Failure,
    FakeProvider,
    HttpReply,
    RawReply,
    ReceivedRequest,
    Reply,
    WireReply,
    chat_error,
    chat_events,
)
from loomwire.testing.server.connection import Connection
from loomwire.testing.server.traffic import Traffic

ASK = {"model": "m1", "messages": [{"role": "user", "content": "Hi"}]}
CHUNKED = b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"


class Client:
    """An httpx client with the few words that these tests need."""

    def __init__(self, http: httpx.AsyncClient, provider: FakeProvider) -> None:
        self._http = http
        self._url = provider.base_url + "/chat/completions"

    async def post(self, body: Mapping[str, object] | bytes = FrozenDict(ASK), path: str = "") -> httpx.Response:
        """Send one request."""
        url = path or self._url
        return await (
            self._http.post(url, content=body) if isinstance(body, bytes) else self._http.post(url, json=body)
        )

    async def chat(self, **extra: object) -> dict[str, JSON]:
        """Return the body of one plain answer."""
        body = json.loads((await self.post({**ASK, **extra})).content)
        assert isinstance(body, dict)
        return body

    async def events(self, **extra: object) -> list[dict[str, JSON]]:
        """Return the events of one stream, which must end in [DONE]."""
        text = (await self.post({**ASK, "stream": True, **extra})).text
        *events, done, rest = text.split("\n\n")
        assert (done, rest) == ("data: [DONE]", "")
        return [json.loads(event.removeprefix("data: ")) for event in events]


@asynccontextmanager
async def talking(provider: FakeProvider) -> AsyncGenerator[Client]:
    """Open the provider and a client of it."""
    async with provider, httpx.AsyncClient(trust_env=False) as http:
        yield Client(http, provider)


@asynccontextmanager
async def socket_to(provider: FakeProvider) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a bare connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", provider.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def request_bytes(body: bytes = json.dumps(ASK).encode()) -> bytes:
    """Return a whole request."""
    return HEAD % len(body) + body


def at(value: JSON, *path: str | int) -> JSON:
    """Return what stands deep inside a JSON value."""
    for step in path:
        if isinstance(step, int):
            assert isinstance(value, list)
            value = value[step]
        else:
            assert isinstance(value, dict)
            value = value[step]
    return value


async def test_a_text_is_said_as_a_chat_completion() -> None:
    async with talking(FakeProvider("Hello ünïcode.")) as client:
        answer = await client.chat()
    assert at(answer, "choices", 0, "message") == {"role": "assistant", "content": "Hello ünïcode."}
    assert at(answer, "choices", 0, "finish_reason") == "stop"
    assert (answer["object"], answer["model"]) == ("chat.completion", "m1")
    assert re.fullmatch(r"chatcmpl-\d{12}", str(answer["id"]))


async def test_tool_calls_reasoning_finish_and_usage_are_said_too() -> None:
    reply = Reply(
        tool_calls=(ToolCall("c1", "weather", {"city": "Rome"}), ToolCall("", "cut", None, '{"a')),
        reasoning="hm",
        finish="length",
        usage=Usage(10, 5, cache_read_tokens=3, reasoning_tokens=2),
    )
    async with talking(FakeProvider(reply)) as client:
        answer = await client.chat()
    message = at(answer, "choices", 0, "message")
    assert (at(message, "content"), at(message, "reasoning_content")) == (None, "hm")
    assert at(message, "tool_calls", 0, "function") == {"name": "weather", "arguments": '{"city":"Rome"}'}
    assert at(message, "tool_calls", 1) == {
        "id": "call_1",
        "type": "function",
        "function": {"name": "cut", "arguments": '{"a'},
    }
    assert at(answer, "choices", 0, "finish_reason") == "length"
    assert answer["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }


async def test_usage_is_counted_from_bytes_unless_the_reply_says_it() -> None:
    async with talking(FakeProvider(Reply("12345678", reasoning="1234"))) as client:
        answer = await client.chat()
    assert at(answer, "usage", "completion_tokens") == 3
    assert at(answer, "usage", "prompt_tokens") == -(-len(httpx.Request("POST", "http://x", json=ASK).content) // 4)


async def test_a_stream_says_the_same_in_pieces() -> None:
    reply = Reply("two words", tool_calls=(ToolCall("c1", "weather", {"city": "Rome"}),), reasoning="hm")
    async with talking(FakeProvider(reply)) as client:
        events = await client.events()
    deltas = [at(event, "choices", 0, "delta") for event in events]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert deltas[1:4] == [{"reasoning_content": "hm"}, {"content": "two "}, {"content": "words"}]
    start = {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    assert deltas[4] == {"tool_calls": [start]}
    assert "".join(str(at(d, "tool_calls", 0, "function", "arguments")) for d in deltas[5:-1]) == '{"city":"Rome"}'
    assert [at(event, "choices", 0, "finish_reason") for event in events[-2:]] == [None, "tool_calls"]
    assert len({str(event["id"]) for event in events}) == 1


async def test_a_stream_tells_its_usage_only_when_it_is_asked() -> None:
    async with talking(FakeProvider(then=Reply("hi", usage=Usage(1, 2)))) as client:
        assert all("usage" not in event for event in await client.events())
        last = (await client.events(stream_options={"include_usage": True}))[-1]
    assert (last["choices"], at(last, "usage", "total_tokens")) == ([], 3)


async def test_a_scripted_failure_is_an_error_as_openai_words_it() -> None:
    failure = Failure("throttled", retry_after=1.5)
    async with talking(FakeProvider(Reply(failure=failure), Reply(failure=Failure("dns", "odd", 418)))) as client:
        busy, odd = await client.post(), await client.post()
    assert (busy.status_code, busy.headers["retry-after"]) == (429, "1.5")
    assert busy.json()["error"] == {
        "message": "scripted failure: throttled",
        "type": "invalid_request_error",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    assert (odd.status_code, odd.json()["error"]["message"]) == (418, "odd")


async def test_a_cut_stream_ends_without_its_end_and_a_cut_answer_in_the_middle() -> None:
    reply = Reply("two words", cut_after=5)
    async with talking(FakeProvider(reply, reply)) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.events()
        with pytest.raises(httpx.RemoteProtocolError):
            await client.chat()


async def test_what_is_no_chat_request_is_refused_as_openai_would() -> None:
    async with talking(FakeProvider("a", "b", "c")) as client:
        assert (await client.post(b"{")).status_code == 400
        assert (await client.post({"stream": "maybe"})).status_code == 400
        assert (await client.post(b'{"model": "\xff"}')).status_code == 400


async def test_every_answer_has_its_own_ids_even_where_the_text_looks_like_one() -> None:
    text = "\0" * 12 + "0" * 12
    async with talking(FakeProvider(then=text)) as client:
        answers = [await client.post() for _ in range(3)]
    assert [answer.headers["x-request-id"] for answer in answers] == [f"req-{n:012d}" for n in (1, 2, 3)]
    assert len({answer.json()["id"] for answer in answers}) == 3
    assert {answer.json()["choices"][0]["message"]["content"] for answer in answers} == {text}


async def test_requests_of_many_shapes_are_all_answered_rightly() -> None:
    async with talking(FakeProvider(then="hi")) as client:
        for number in range(100):
            answer = await client.chat(model=f"m{number}")
            assert answer["model"] == f"m{number}"


async def test_replies_are_played_in_order_and_then_the_last_word() -> None:
    provider = FakeProvider("one", then="more")
    async with talking(provider) as client:
        provider.queue("two")
        said = [at(await client.chat(), "choices", 0, "message", "content") for _ in range(4)]
    assert said == ["one", "two", "more", "more"]


async def test_only_the_chat_path_is_answered_when_nothing_is_queued() -> None:
    provider = FakeProvider()
    async with talking(provider) as client:
        assert (await client.post(path=f"{provider.base_url}/models")).status_code == 404
        assert (await client.post(path=f"{provider.base_url}/chat/completions?x=1")).status_code == 200
        provider.queue("anywhere")
        assert (await client.post(path=f"{provider.base_url}/models")).status_code == 200


async def test_requests_are_remembered_with_path_headers_and_json() -> None:
    provider = FakeProvider()
    async with provider, httpx.AsyncClient() as http:
        headers = [("Authorization", "Bearer k"), ("X-Twice", "a"), ("x-twice", "b")]
        await http.post(f"{provider.base_url}/chat/completions?q=1", json=ASK, headers=headers)
    request = provider.requests[0]
    assert (request.method, request.path, request.json) == ("POST", "/v1/chat/completions?q=1", ASK)
    assert (request.headers["authorization"], request.headers["x-twice"]) == ("Bearer k", "a, b")
    assert request.headers is request.headers
    assert (request.number, request.connection) == (1, 1)
    assert repr(request) == f"ReceivedRequest(1, POST /v1/chat/completions?q=1, {len(request.body)} bytes, status 200)"


async def test_only_the_last_requests_are_remembered_but_all_are_counted() -> None:
    provider = FakeProvider(keep=2)
    async with talking(provider) as client:
        for _ in range(5):
            await client.post()
    assert [request.number for request in provider.requests] == [4, 5]
    assert provider.stats.requests == provider.stats.answered == 5


async def test_connections_are_kept_alive_and_counted() -> None:
    provider = FakeProvider()
    async with talking(provider) as client:
        for _ in range(5):
            await client.post()
        assert (provider.stats.connections, provider.stats.open_connections) == (1, 1)
    assert provider.stats.open_connections == 0


async def test_pipelined_requests_are_answered_one_after_the_other() -> None:
    provider = FakeProvider(After(0.005, "one"), HttpReply(body="two"), "three")
    async with provider, socket_to(provider) as (reader, writer):
        writer.write(request_bytes() * 3)
        text = b""
        while b"three" not in text:
            text += await reader.read(65536)
    assert re.findall(rb"one|two|three", text) == [b"one", b"two", b"three"]


async def test_a_request_may_come_byte_by_byte() -> None:
    async with FakeProvider("Hello") as provider, socket_to(provider) as (reader, writer):
        for number in request_bytes():
            writer.write(bytes([number]))
            await asyncio.sleep(0)  # else the server reads them all at once
        assert b"Hello" in await reader.readuntil(b"}}}")


@pytest.mark.parametrize(
    "head",
    [
        b"POST /v1/chat/completions HTTP/1.0\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /v1/chat/completions HTTP/1.1\r\nConnection: Close\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /v1/chat/completions HTTP/1.1\r\nConnection: TE, close\r\ncontent-length: 2\r\n\r\n{}",
    ],
)
@pytest.mark.parametrize("reply", ["Hello", After(0.001, "Hello")])
async def test_a_client_that_wants_the_connection_closed_gets_that(head: bytes, reply: str | WireReply) -> None:
    async with FakeProvider(reply) as provider, socket_to(provider) as (reader, writer):
        writer.write(head)
        assert (await reader.read()).endswith(b"}")
    assert provider.stats.abandoned == 0


async def test_an_old_client_may_ask_to_keep_the_connection() -> None:
    async with FakeProvider("one", "two") as provider, socket_to(provider) as (reader, writer):
        head = b"POST / HTTP/1.0\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\n{}"
        writer.write(head * 2)
        assert b"one" in await reader.readuntil(b"}}}")
        assert b"two" in await reader.readuntil(b"}}}")


async def test_a_body_may_come_in_chunks_with_extensions_and_trailers() -> None:
    chunks = b"2;a=b\r\n{}\r\n" + b"1\r\n \r\n" * 3 + b"0\r\nx-sum: 1\r\n\r\n"
    async with FakeProvider("one", "two", "three") as provider, socket_to(provider) as (reader, writer):
        writer.write((CHUNKED + chunks) * 2)
        assert b"one" in await reader.readuntil(b"}}}")
        assert b"two" in await reader.readuntil(b"}}}")
        for number in CHUNKED + chunks:
            writer.write(bytes([number]))
            await asyncio.sleep(0)  # else the server reads them all at once
        assert b"three" in await reader.readuntil(b"}}}")
        assert [request.body for request in provider.requests] == [b"{}   "] * 3


async def test_a_body_of_unknown_length_is_read_as_http_clients_send_it() -> None:
    async def body() -> AsyncIterator[bytes]:
        for piece in (b'{"model": "m1", ', b'"messages": []}'):
            yield piece

    async with FakeProvider("Hello") as provider, httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(provider.base_url + "/chat/completions", content=body())
        assert (answer.status_code, provider.requests[0].model) == (200, "m1")


async def test_a_head_request_is_refused_without_a_body_and_takes_no_reply() -> None:
    async with FakeProvider("Hello") as provider, socket_to(provider) as (reader, writer):
        writer.write(b"HEAD /v1/models HTTP/1.1\r\n\r\n" + request_bytes())
        first = await reader.readuntil(b"\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 405 ")
        assert (await reader.readexactly(12)) == b"HTTP/1.1 200"
        assert b"Hello" in await reader.readuntil(b"}}}")


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS"])
async def test_only_post_asks_for_a_chat(method: str) -> None:
    async with FakeProvider() as provider, httpx.AsyncClient(trust_env=False) as http:
        answer = await http.request(method, provider.base_url + "/chat/completions", json=ASK)
    assert (answer.status_code, method in answer.text) == (405, True)


async def test_null_stands_for_what_is_left_out() -> None:
    provider = FakeProvider()
    async with talking(provider) as client:
        assert at(await client.chat(stream=None), "object") == "chat.completion"
        assert not provider.requests[0].stream
        assert await client.events(stream_options=None)
        assert await client.events(stream_options={"include_usage": None})


async def test_a_body_that_waits_for_permission_gets_it() -> None:
    async with FakeProvider("Hello") as provider, socket_to(provider) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert b"Hello" in await reader.readuntil(b"}}}")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # how https begins
        (b"POST / HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n", 400),
        (CHUNKED + b"-1\r\n", 400),
        (CHUNKED + b"2\r\nhim\r\n", 400),
        (CHUNKED + b"2;" + b"x" * 9_000, 400),
        (CHUNKED + b"4000001\r\n", 413),
        (b"POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nx: " + b"x" * 70_000, 431),
    ],
)
async def test_what_is_no_request_is_refused_and_the_connection_closed(sent: bytes, status: int) -> None:
    async with FakeProvider() as provider, socket_to(provider) as (reader, writer):
        writer.write(sent)
        assert (await reader.read()).startswith(b"HTTP/1.1 %d " % status)
    assert provider.stats.requests == 0


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\x00\x01", "application/octet-stream"),
        ("<html>ü</html>", "text/plain; charset=utf-8"),
        (FrozenDict({"a": [1, None]}), "application/json"),
        (None, "application/json"),
    ],
)
async def test_an_http_reply_has_a_body_of_any_kind(body: bytes | JSON, kind: str) -> None:
    async with talking(FakeProvider(HttpReply(299, body, {"X-Own": "1"}))) as client:
        answer = await client.post()
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    assert (answer.status_code, answer.reason_phrase, answer.content) == (299, "Unknown", raw)
    assert (answer.headers["content-type"], answer.headers["x-own"]) == (kind, "1")


async def test_a_test_may_lie_about_headers() -> None:
    async with talking(FakeProvider(HttpReply(200, "<html>", {"Content-Type": "text/html"}))) as client:
        assert (await client.post()).headers.get_list("content-type") == ["text/html"]
    lie = HttpReply(200, "half", {"content-length": "100"}, end=End.CLOSE)
    async with talking(FakeProvider(lie)) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post()


async def test_chunks_arrive_one_by_one_as_events_allow() -> None:
    gate, got = asyncio.Event(), list[bytes]()
    first, *rest = chat_events(Reply("Hello there"), model="m9", usage=Usage(1, 1))
    provider = FakeProvider(HttpReply(chunks=[first, gate, b"", 0.001, *rest]))
    async with provider, httpx.AsyncClient() as http, http.stream("POST", provider.base_url, json=ASK) as answer:
        async for chunk in answer.aiter_raw():
            got.append(chunk)
            gate.set()
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert got[0] == first
    assert b"".join(got) == first + b"".join(rest)
    assert b'"model": "m9"' in first
    assert b'"total_tokens": 2' in rest[-2]


def test_events_for_a_cut_reply_end_at_the_cut() -> None:
    events = chat_events(Reply("Hello there", cut_after=7))
    assert len(events) == 3
    assert b'"t"' in events[-1]


async def test_a_stream_may_end_properly_though_its_answer_does_not() -> None:
    events = chat_events(Reply("Hello there"))[:2]
    async with talking(FakeProvider(HttpReply(chunks=events))) as client:
        assert (await client.post()).content == b"".join(events)


@pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
async def test_a_stream_may_be_cut(end: End) -> None:
    gate = asyncio.Event()
    async with FakeProvider(HttpReply(chunks=[b"first", gate], end=end)) as provider, httpx.AsyncClient() as http:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)) as raised:
            await read_first_then(http, provider, gate.set)
    assert isinstance(raised.value, httpx.ReadError) == (end is End.RESET)


async def read_first_then(http: httpx.AsyncClient, provider: FakeProvider, then: Callable[[], None]) -> None:
    """Read a stream to its end and call `then` at the first chunk."""
    async with http.stream("POST", provider.base_url, json=ASK) as answer:
        async for _ in answer.aiter_raw():
            then()


async def test_raw_bytes_are_played_as_they_are() -> None:
    raw = RawReply(b"HTTP/1.1 200 OK\r\ncontent-le", 0.001, b"ngth: 2\r\n\r\nhi")
    async with talking(FakeProvider(raw, RawReply(End.CLOSE), RawReply(End.RESET), "alive")) as client:
        assert (await client.post()).text == "hi"
        with pytest.raises(httpx.RemoteProtocolError, match="disconnected without sending a response"):
            await client.post()
        with pytest.raises(httpx.ReadError):
            await client.post()
        assert (await client.post()).status_code == 200


async def test_a_callable_answers_by_the_request() -> None:
    def echo(request: ReceivedRequest) -> str | HttpReply:
        return HttpReply(503) if request.number == 2 else str(at(request.json, "messages", 0, "content"))

    async with talking(FakeProvider(then=echo)) as client:
        assert at(await client.chat(), "choices", 0, "message", "content") == "Hi"
        assert (await client.post()).status_code == 503


async def test_a_reply_may_wait_for_seconds_or_for_an_event() -> None:
    gate = asyncio.Event()
    provider = FakeProvider(After(gate, "late"), Reply("later", delay_s=0.001), After(0.001, HttpReply(204)))
    async with talking(provider) as client:
        task = asyncio.ensure_future(client.chat())
        await provider.until(lambda stats: stats.requests == 1)
        assert not task.done()
        gate.set()
        assert at(await task, "choices", 0, "message", "content") == "late"
        assert at(await client.chat(), "choices", 0, "message", "content") == "later"
        assert (await client.post()).status_code == 204


async def test_an_endless_body_is_sent_only_as_fast_as_it_is_read() -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 65536

    provider = FakeProvider(HttpReply(chunks=endless()))
    async with provider, httpx.AsyncClient() as http:
        async with http.stream("POST", provider.base_url, json=ASK) as answer:
            async for _ in answer.aiter_raw():
                break
        await provider.until(lambda stats: stats.abandoned == 1)
    assert sent < 1000


async def test_a_reader_slower_than_the_server_still_gets_everything() -> None:
    provider = FakeProvider(HttpReply(chunks=[b"x" * 1_000_000] * 12, end=End.CLOSE))
    async with provider, socket_to(provider) as (reader, writer):
        writer.write(request_bytes())
        await asyncio.sleep(0.02)
        assert len(await reader.read()) > 12_000_000
    assert provider.stats.abandoned == 0


async def test_a_client_that_sends_on_during_a_reply_is_read_only_so_far() -> None:
    gate = asyncio.Event()
    async with FakeProvider(After(gate, "one"), "two") as provider, socket_to(provider) as (reader, writer):
        writer.write(request_bytes())
        await provider.until(lambda stats: stats.requests == 1)
        writer.write(request_bytes(b" " * 3_000_000 + b"{}"))
        await asyncio.sleep(0.02)
        gate.set()
        assert b"one" in await reader.readuntil(b"}}}")
        assert b"two" in await reader.readuntil(b"}}}")


async def test_an_abandoned_reply_is_counted_and_stopped() -> None:
    provider = FakeProvider(After(asyncio.Event(), "never"))
    async with provider:
        async with socket_to(provider) as (_, writer):
            writer.write(request_bytes())
            await provider.until(lambda stats: stats.requests == 1)
        stats = await provider.until(lambda stats: stats.abandoned == 1)
        assert (stats.open_connections, stats.answered) == (0, 0)


async def test_waiting_for_what_never_happens_ends_and_shows_the_numbers() -> None:
    async with FakeProvider() as provider:
        with pytest.raises(TimeoutError, match=r"after 0\.01 s still TrafficStats\(connections=0"):
            await provider.until(lambda stats: stats.requests == 1, within_s=0.01)


async def test_nothing_hangs_however_a_reply_hangs() -> None:
    provider = FakeProvider(then=After(asyncio.Event(), "never"))
    async with asyncio.timeout(5), asyncio.TaskGroup() as group, provider:
        for _ in range(20):
            group.create_task(expect_the_end(provider))
        await provider.until(lambda stats: stats.requests == 20)
    assert provider.stats.open_connections == 0
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", provider.port)


async def expect_the_end(provider: FakeProvider) -> None:
    """Send a request and wait until the server breaks the connection."""
    async with socket_to(provider) as (reader, writer):
        writer.write(request_bytes())
        await asyncio.gather(reader.read(), return_exceptions=True)


async def test_nothing_is_left_open_behind_a_closed_provider() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = asyncio.all_tasks()
        provider = FakeProvider("one", After(asyncio.Event(), "never"))
        async with talking(provider) as client:
            await client.post()
            task = asyncio.ensure_future(client.post())
            await provider.until(lambda stats: stats.requests == 2)
            await provider.aclose()
            await provider.aclose()
            await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before
        gc.collect()


def test_a_connection_that_was_never_made_has_nothing_to_break() -> None:
    assert Connection(Traffic(1), lambda _: ()).abort() is None


async def test_a_provider_is_closed_when_its_block_is_cancelled() -> None:
    provider, entered = FakeProvider(), asyncio.Event()

    async def use() -> None:
        async with provider:
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(use())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", provider.port)


@dataclass(frozen=True)
class Broken(WireReply):
    """A reply with a bug."""

    late: bool

    @override
    def pieces(self, request: ReceivedRequest) -> Iterable[float]:
        if self.late:
            return map(float, ["0", "no number"])
        raise ZeroDivisionError("a bug in the test")


async def post_into(outcomes: list[object] | None, provider: FakeProvider) -> None:
    """Append what becomes of one request; without a list, fail as a test would."""
    async with talking(provider) as client:
        got = await asyncio.gather(client.post(), return_exceptions=True)
        if outcomes is None:
            raise KeyError("the test's own failure")
        outcomes += got


async def test_a_bug_in_a_tests_reply_is_a_500_now_and_raised_at_the_end() -> None:
    outcomes = list[object]()
    with pytest.raises(ZeroDivisionError, match="a bug in the test"):
        await post_into(outcomes, FakeProvider(Broken(late=False)))
    assert isinstance(outcomes[0], httpx.Response)
    assert outcomes[0].status_code == 500


async def test_a_bug_in_the_middle_of_a_reply_breaks_the_connection_and_is_raised_at_the_end() -> None:
    outcomes = list[object]()
    with pytest.raises(ValueError, match="no number"):
        await post_into(outcomes, FakeProvider(Broken(late=True)))
    assert isinstance(outcomes[0], httpx.ReadError)


async def test_a_failing_test_is_not_hidden_by_its_reply() -> None:
    with pytest.raises(KeyError):
        await post_into(None, FakeProvider(Broken(late=False)))


async def test_tls_works_with_a_throw_away_certificate_and_so_does_a_reset() -> None:
    authority = trustme.CA()
    server, trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(trusted)
    provider = FakeProvider("secret", HttpReply(chunks=[b"a"]), RawReply(b"HTTP/1.1 2", End.RESET), tls=server)
    async with provider, httpx.AsyncClient(verify=trusted) as http:
        assert provider.base_url.startswith("https://127.0.0.1:")
        assert "secret" in (await http.post(provider.base_url, json=ASK)).text
        assert (await http.post(provider.base_url, json=ASK)).text == "a"
        with pytest.raises(httpx.HTTPError):
            await http.post(provider.base_url, json=ASK)
    assert provider.stats.connections == 1


async def test_many_clients_at_once_each_get_their_own_answer() -> None:
    def echo(request: ReceivedRequest) -> str:
        return str(at(request.json, "messages", 0, "content"))

    async with talking(FakeProvider(then=echo)) as client:

        async def ask(number: int) -> None:
            answer = await client.chat(messages=[{"role": "user", "content": str(number)}])
            assert at(answer, "choices", 0, "message", "content") == str(number)

        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(ask(number))


def test_a_provider_shows_its_address_and_listens_only_when_it_is_entered() -> None:
    assert repr(FakeProvider()) == "FakeProvider(http://127.0.0.1:0/v1)"


def test_what_is_no_reply_is_refused_where_it_is_given() -> None:
    untyped = vars(testing)  # as a caller without a type checker sees it
    with pytest.raises(TypeError, match="a dict is no reply; give a text, Reply"):
        untyped["FakeProvider"]({"text": "Hello"})
    with pytest.raises(TypeError, match="a Failure is no reply"):
        untyped["FakeProvider"]("Hello", Failure("throttled"))
    with pytest.raises(ValueError, match=r"tls must be true, false, a context, expired, .* not 'expird'"):
        untyped["FakeProvider"](tls="expird")
    with pytest.raises(TypeError, match="spoils a text or a Reply, not int; a status is given as `status=429`"):
        untyped["Fault"]("status", 429)


async def test_a_running_provider_cannot_be_entered_once_more() -> None:
    async with FakeProvider("still here") as provider:
        with pytest.raises(RuntimeError, match="already running"):
            await provider.__aenter__()
        async with httpx.AsyncClient(trust_env=False) as http:
            assert "still here" in (await http.post(provider.base_url + "/chat/completions", json=ASK)).text


async def test_errors_and_chat_replies_are_there_for_own_replies() -> None:
    error = chat_error(503, "busy", code="overloaded", retry_after=2)
    async with talking(FakeProvider(error, "hi")) as client:
        answer = await client.post()
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert answer.json()["error"]["type"] == "server_error"
        assert at(await client.chat(), "choices", 0, "message", "content") == "hi"
