"""One call over a real socket: what is sent, and what becomes of every kind of answer. Nothing leaks."""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import pytest
from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import (
    CapabilityError,
    ConfigError,
    LLMError,
    LLMProtocolError,
    LLMTimeoutError,
    LLMValidationError,
)
from loomwire.domain.policies import WireLimits
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.pool import PoolStats, WireRequest
from loomwire.domain.pricing import Usage
from loomwire.domain.requests import Bound, LLMRequest, OutputSpec
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.openai_chat.chat import OpenAIChat
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.infrastructure.providers.wire.client import WireClient
from loomwire.infrastructure.providers.wire.exchange.headers import HiddenHeaders, request_headers
from loomwire.infrastructure.providers.wire.exchange.unary import ERROR_BODY_S
from loomwire.infrastructure.providers.wire.json_bytes import LARGE
from loomwire.infrastructure.providers.wire.stream import WireStream
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from support.wire_server import Exchange, Play, WireServer

KEY = "canary-key-0123456789"
PROMPT = "canary-prompt"
HI = LLMRequest.of(PROMPT)
ANSWER: Mapping[str, JSON] = {
    "id": "a-1",
    "model": "m-2",
    "choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}
BODY = json.dumps(ANSWER).encode()
CONFIG = LLMConfig.custom("m", name="vendor", base_url="http://127.0.0.1:1/v1", api_key=KEY, allow_private=True)


def client_of(pool: ConnectionPool, config: LLMConfig, quirks: ChatQuirks = ChatQuirks()) -> WireClient:
    return WireClient(config, OpenAIChat(quirks), pool, SystemClock(), endpoint="http://127.0.0.1")


@asynccontextmanager
async def talking(
    play: Play, config: LLMConfig = CONFIG
) -> AsyncIterator[tuple[WireClient, WireServer, ConnectionPool]]:
    """Run a server and a client of it; afterwards every lease must be back."""
    pool = ConnectionPool()
    async with WireServer(play) as server:
        yield client_of(pool, replace(config, base_url=f"{server.base_url}/v1")), server, pool
        assert (pool.get_stats().active, pool.get_stats().waiting) == (0, 0)
        await pool.aclose()


def shown_by_a_traceback(error: BaseException) -> str:
    """Return what a traceback with locals shows of loomwire's own frames."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = [frame for frame in frames if frame.f_globals["__name__"].startswith("loomwire.")]
    assert ours
    return "".join(repr(value) for frame in ours for value in frame.f_locals.values())


async def until(condition: Callable[[], object]) -> None:
    """Let others run until something holds that has no event of its own."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def failure(play: Play, config: LLMConfig = CONFIG, request: LLMRequest = HI) -> LLMError:
    """Return the error of one call, checked for what no error may show."""
    async with talking(play, config) as (client, _, _):
        with pytest.raises(LLMError) as caught:
            await client.generate(request)
    error = caught.value
    shown = f"{error!r} {error} {error.to_dict()} {error.explain()} {vars(error)}"
    assert "canary" not in shown
    assert "canary-key" not in shown_by_a_traceback(error)
    assert (error.provider, error.model) == ("vendor", "m")
    assert error.endpoint is not None
    assert error.phase is not None
    return error


async def good(exchange: Exchange) -> None:
    await exchange.answer(BODY, X_Request_Id="r-1")


async def test_a_call_sends_one_request_and_returns_the_whole_answer() -> None:
    config = replace(CONFIG, headers={"X-Team": "blue", "User-Agent": "mine"})
    async with talking(good, config) as (client, server, _):
        response = await client.generate(HI)
    (seen,) = server.seen
    assert seen.head.startswith(b"POST /v1/chat/completions HTTP/1.1")
    assert json.loads(seen.body) == {"model": "m", "messages": [{"role": "user", "content": PROMPT}]}
    assert seen.header("authorization") == f"Bearer {KEY}"
    assert seen.header("content-type") == "application/json"
    assert seen.header("accept") == "application/json"
    assert (seen.header("x-team"), seen.header("user-agent")) == ("blue", "mine")
    assert KEY not in seen.path
    assert (response.text, response.usage, response.request_id) == ("Hello", Usage(3, 2), "r-1")
    assert (response.provider, response.model, response.response_id) == ("vendor", "m-2", "a-1")


async def test_a_connection_is_used_again() -> None:
    async with talking(good) as (client, server, pool):
        for _ in range(5):
            await client.generate(HI)
        assert (server.connections, pool.get_stats().reused) == (1, 4)


async def test_one_client_serves_many_tasks_at_once() -> None:
    async with talking(good) as (client, _, _):
        texts = await asyncio.gather(*(client.generate(HI) for _ in range(20)))
    assert [response.text for response in texts] == ["Hello"] * 20


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/problem+json", "text/json", ""]
)
async def test_any_content_type_of_json_and_none_at_all_are_accepted(content_type: str) -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.answer(b"\n         \n" + BODY, Content_Type=content_type)

    async with talking(play) as (client, _, _):
        assert (await client.generate(HI)).text == "Hello"


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "text/event-stream", "x" * 200, "\x7fodd"])
async def test_another_content_type_is_a_protocol_error_even_with_a_good_body(content_type: str) -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.answer(BODY, Content_Type=content_type)

    error = await failure(play)
    assert (error.reason, error.phase) == ("protocol", "headers")
    assert len(error.message) < 200
    assert error.retryable
    assert error.disposition.retry_limit == 1


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b'{"choices":[]}', b"<html></html>", BODY[:40]])
async def test_a_body_that_is_no_answer_is_a_protocol_error(body: bytes) -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.answer(body, X_Request_Id="r-9")

    error = await failure(play)
    assert isinstance(error, LLMProtocolError)
    assert (error.phase, error.request_id) == ("body", "r-9")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_refused_and_never_followed(status: int) -> None:
    async with WireServer(good) as elsewhere:

        async def play(exchange: Exchange) -> None:
            await exchange.answer(b"", status, Location=f"{elsewhere.base_url}/?key=canary")

        error = await failure(play)
        assert elsewhere.seen == []
    assert (error.reason, error.status, error.retryable) == ("redirect", status, False)


async def test_a_bad_status_is_read_by_its_body_and_headers() -> None:
    async def play(exchange: Exchange) -> None:
        body = b'{"error":{"message":"Rate limit for key %b reached","code":"rate_limit_exceeded"}}' % KEY.encode()
        await exchange.answer(body, 429, Retry_After="2", X_Request_Id="r-2", Content_Type="text/plain")

    error = await failure(play)
    assert (error.reason, error.status, error.retry_after, error.request_id) == ("throttled", 429, 2.0, "r-2")
    assert (error.provider_code, error.phase) == ("rate_limit_exceeded", "headers")
    assert error.provider_message == "Rate limit for key [redacted] reached"


async def test_a_page_with_a_bad_status_is_read_by_the_status() -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.answer(b"<html>" + b"x" * 300_000, 503, Content_Type="text/html")

    error = await failure(play)
    assert (error.reason, error.provider_message) == ("overloaded", None)


async def test_an_error_whose_body_breaks_off_is_read_by_the_status() -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 500 X\r\nContent-Length: 1000\r\n\r\n{")
        exchange.end()

    assert (await failure(play)).reason == "server"


@pytest.mark.parametrize(("status", "reason"), [(401, "credentials"), (429, "throttled"), (500, "server")])
async def test_a_bound_that_ends_while_an_error_is_read_leaves_the_status_its_say(status: int, reason: str) -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 %d X\r\nContent-Length: 1000\r\nRetry-After: 7\r\n\r\n{" % status)
        await asyncio.Event().wait()

    error = await failure(play, request=HI.with_bound(Bound(time.monotonic() + 0.3)))
    assert (error.reason, error.status, error.retry_after) == (reason, status, 7.0)


async def test_the_body_of_an_error_is_not_waited_for_until_the_deadline() -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 401 X\r\nContent-Length: 1000\r\n\r\n{")
        await asyncio.Event().wait()

    start = time.monotonic()
    assert (await failure(play)).reason == "credentials"
    assert time.monotonic() - start < ERROR_BODY_S + 1


@pytest.mark.parametrize("status", [200, 400])
async def test_words_that_quote_the_prompt_do_not_show_it(status: int) -> None:
    async def play(exchange: Exchange) -> None:
        said = 'cannot handle "Dear canary, sing the song of the yellow mine!" after You are the canary of this whole'
        await exchange.answer(json.dumps({"error": {"message": said, "code": "x"}}).encode(), status)

    asked = LLMRequest.of(
        "Dear canary, sing the song of the yellow mine!", system="You are the canary of this whole mine."
    )
    error = await failure(play, request=asked)
    assert error.provider_message == 'cannot handle "[prompt]" after [prompt]'


async def test_an_error_inside_an_answer_leaves_the_body_in_no_frame_of_the_traceback() -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.answer(b'{"choices":[],"error":{"message":"bad key %b","type":"server_error"}}' % KEY.encode())

    error = await failure(play)
    assert error.provider_message == "bad key [redacted]"


@pytest.mark.parametrize("body", [b'{"choices":"%b"}', b'{"choices":[{"message":{"content":{"a":"%b"}}}]}', b"%b"])
async def test_an_answer_that_cannot_be_read_is_in_no_frame_of_the_traceback_nor_of_its_context(body: bytes) -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.answer(body % KEY.encode())

    assert (await failure(play)).__context__ is None


async def test_the_id_of_a_request_is_short_and_holds_no_key() -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.answer(BODY, exchange.number * 200, X_Request_Id=KEY + "i" * 300)

    async with talking(play) as (client, _, _):
        response = await client.generate(HI)
        with pytest.raises(LLMError) as caught:
            await client.generate(HI)
    assert response.request_id == caught.value.request_id == "[redacted]" + "i" * 118


async def test_an_answer_without_content_is_a_protocol_error() -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    assert (await failure(play)).reason == "protocol"
    async with talking(play) as (client, _, _):
        with pytest.raises(LLMProtocolError):
            await client.stream(HI).__aenter__()


class Ahead(IClock):
    """A clock that is so late that every bound has passed."""

    @override
    def now(self) -> float:
        return time.monotonic() + 1000

    @override
    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    @override
    def timeout_at(self, at: float) -> AbstractAsyncContextManager[object]:
        raise NotImplementedError


@pytest.mark.parametrize(("size", "is_late"), [(LARGE, True), (LARGE // 2, False)])
async def test_a_large_answer_whose_reading_outlasts_the_bound_is_the_bounds_error(size: int, is_late: bool) -> None:
    async def play(exchange: Exchange) -> None:
        message = {"message": {"content": "x" * size}, "finish_reason": "stop"}
        await exchange.answer(json.dumps({"choices": [message]}).encode())

    asked = HI.with_bound(Bound(time.monotonic() + 100, "attempt"))
    async with WireServer(play) as server:
        pool = ConnectionPool()
        config = replace(CONFIG, base_url=f"{server.base_url}/v1")
        client = WireClient(config, OpenAIChat(), pool, Ahead())
        for call in (client.generate(asked), client.stream(asked).__aenter__()):
            outcome = (await asyncio.gather(call, return_exceptions=True))[0]
            assert (isinstance(outcome, LLMTimeoutError) and outcome.reason == "attempt") is is_late
            if isinstance(outcome, WireStream):
                outcome.close()
        assert pool.get_stats().active == 0
        await pool.aclose()


async def test_the_bound_of_the_request_ends_a_call_that_hangs() -> None:
    async def play(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    error = await failure(play, request=HI.with_bound(Bound(time.monotonic() + 0.05, "attempt")))
    assert (error.reason, error.phase) == ("attempt", "headers")


async def test_an_answer_that_breaks_off_is_a_network_error() -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
        exchange.reset()

    error = await failure(play)
    assert error.reason in ("reset", "eof")
    assert error.phase == "body"


async def test_nobody_listening_is_a_typed_error_with_its_place() -> None:
    pool = ConnectionPool()
    with pytest.raises(LLMError) as caught:
        await client_of(pool, CONFIG).generate(HI)
    await pool.aclose()
    assert (caught.value.reason, caught.value.provider, caught.value.phase) == ("refused", "vendor", "connect")


async def test_a_body_larger_than_allowed_is_refused() -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.answer(b" " * 5000 + BODY)

    assert (await failure(play, replace(CONFIG, limits=WireLimits(body=1000)))).reason == "too_large"


async def test_a_request_larger_than_allowed_is_never_sent() -> None:
    async with talking(good, replace(CONFIG, limits=WireLimits(request=100))) as (client, server, _):
        with pytest.raises(LLMValidationError, match=r"limits\.request") as caught:
            await client.generate(LLMRequest.of("x" * 200))
        assert (caught.value.reason, server.seen) == ("request_too_large", [])


async def test_a_request_that_cannot_be_written_is_never_sent_and_knows_its_target() -> None:
    async with talking(good) as (client, server, pool):
        limited = WireClient(client.config, OpenAIChat(ChatQuirks(json_schema=False)), pool, SystemClock())
        with pytest.raises(CapabilityError) as caught:
            await limited.generate(LLMRequest.of("Hi", output=OutputSpec({"type": "object"})))
        assert (caught.value.provider, caught.value.model, server.seen) == ("vendor", "m", [])


async def test_cancelling_a_call_gives_everything_back() -> None:
    asked = asyncio.Event()

    async def play(exchange: Exchange) -> None:
        asked.set()
        await asyncio.Event().wait()

    async with talking(play) as (client, _, pool):
        call = asyncio.create_task(client.generate(HI))
        await asked.wait()
        assert pool.get_stats().active == 1
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert pool.get_stats().active == 0


async def test_a_call_that_waits_for_a_connection_can_be_cancelled() -> None:
    gate = asyncio.Event()

    async def play(exchange: Exchange) -> None:
        await gate.wait()
        await good(exchange)

    config = replace(CONFIG, pool=replace(CONFIG.pool, max_connections=1))
    async with talking(play, config) as (client, server, pool):
        first = asyncio.create_task(client.generate(HI))
        await until(lambda: server.seen)
        second = asyncio.create_task(client.generate(HI))
        await until(lambda: pool.get_stats().waiting)
        second.cancel()
        gate.set()
        assert (await first).text == "Hello"
        with pytest.raises(asyncio.CancelledError):
            await second
        assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Host", "x"),
        ("content-length", "5"),
        ("Transfer-Encoding", "chunked"),
        ("Accept-Encoding", "br"),
        ("bad name", "x"),
        ("", "x"),
        ("X-Odd", "canary\r\nX-Other: y"),
        ("X-Odd", "canary\n"),
    ],
)
def test_a_header_that_could_do_harm_is_refused_when_the_client_is_built(name: str, value: str) -> None:
    config = replace(CONFIG, headers={name: value})
    with pytest.raises(ConfigError, match="provider 'vendor'") as caught:
        client_of(ConnectionPool(), config)
    assert "canary" not in f"{caught.value}"


def test_a_configured_header_replaces_ours_of_the_same_name() -> None:
    config = replace(CONFIG, headers={"Authorization": "Basic x"})
    headers = dict(request_headers(config, OpenAIChat(), "bearer", "application/json"))
    assert headers["authorization"] == "Basic x"
    assert list(headers).count("authorization") == 1


def test_headers_cannot_be_seen_in_a_request_that_is_shown() -> None:
    headers = HiddenHeaders([("authorization", f"Bearer {KEY}")])
    assert KEY not in repr(WireRequest("/x", headers, b""))
    assert repr(headers) == "HiddenHeaders(1 headers)"
    assert headers == (("authorization", f"Bearer {KEY}"),)


def test_a_client_without_a_base_url_cannot_be_built() -> None:
    with pytest.raises(ConfigError, match="no base_url"):
        client_of(ConnectionPool(), replace(CONFIG, base_url=None))


async def test_a_closed_pool_is_a_typed_error() -> None:
    pool = ConnectionPool()
    client = client_of(pool, CONFIG)
    await pool.aclose()
    with pytest.raises(LLMError) as caught:
        await client.generate(HI)
    assert caught.value.reason == "closed"
    assert pool.get_stats() == PoolStats()
