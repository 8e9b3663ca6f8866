"""Every way a server or the network can fail ends in the right typed error, soon, and with nothing left open."""

from __future__ import annotations

import asyncio
import gzip
import pickle
import socket
import ssl
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace

import pytest
import trustme

from loomwire.domain.errors import LLMError, LLMNetworkError, LLMProtocolError, LLMTimeoutError, LLMValidationError
from loomwire.domain.policies import MIB, PoolPolicy, TransportPolicy
from loomwire.domain.ports.pool import WireRequest
from loomwire.domain.requests import Bound
from loomwire.infrastructure.transport.pool import ConnectionPool
from support.wire_server import LOCAL, Exchange, Play, WireServer, answer, ask, eventually, raw_server

KEY = "sk-canary-5f1e"


async def fails(
    pool: ConnectionPool,
    base_url: str,
    request: WireRequest | None = None,
    *,
    stream: bool = False,
    policy: TransportPolicy = LOCAL,
) -> LLMError:
    """Send a request that must fail, and return the error after checking what holds for every one."""
    request = request or WireRequest("/chat", (("Authorization", f"Bearer {KEY}"),), b"{}")
    with pytest.raises(LLMError) as caught:
        await consume(pool, base_url, request, policy, stream=stream)
    error = caught.value
    assert error.endpoint is not None
    assert base_url.startswith(error.endpoint) or error.endpoint.startswith(base_url)
    assert (error.__cause__, error.__context__) == (None, None)
    assert error.original_error is None
    assert KEY not in "".join(traceback.format_exception(error))
    assert pickle.loads(pickle.dumps(error)).reason == error.reason
    assert pool.get_stats().active == 0
    return error


async def consume(
    pool: ConnectionPool, base_url: str, request: WireRequest, policy: TransportPolicy, *, stream: bool
) -> None:
    """Send a request and read all of the answer."""
    lease = await pool.acquire(base_url, policy)
    try:
        reply = await lease.send(request)
        if not stream:
            await reply.read()
            return
        async for _ in reply.chunks():
            pass
    finally:
        pool.release(lease)


def within(seconds: float) -> Bound:
    return Bound(time.monotonic() + seconds, "attempt")


def plays(*parts: bytes, then: str = "end", pause: float = 0.0) -> Play:
    async def play(exchange: Exchange) -> None:
        for part in parts:
            await exchange.send(part)
            await asyncio.sleep(pause)
        if then == "end":
            exchange.end()
        elif then == "reset":
            await asyncio.sleep(0.02)
            exchange.reset()
        else:
            await asyncio.Event().wait()

    return play


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_a_port_nobody_listens_on_is_refused(pool: ConnectionPool) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    error = await fails(pool, url)
    assert isinstance(error, LLMNetworkError)
    assert (error.reason, error.phase) == ("refused", "connect")


async def test_an_unknown_name_is_a_dns_failure() -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    pool = ConnectionPool(resolver=unknown)
    error = await fails(pool, "http://nowhere.invalid:80")
    assert (error.reason, error.phase) == ("dns", "connect")
    await pool.aclose()


async def test_a_name_without_addresses_is_a_dns_failure() -> None:
    async def empty(host: str, port: int) -> Sequence[str]:
        return ()

    pool = ConnectionPool(resolver=empty)
    assert (await fails(pool, "http://nowhere.invalid:80")).reason == "dns"
    await pool.aclose()


async def test_connecting_ends_after_its_timeout() -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    pool = ConnectionPool(resolver=never)
    started = time.monotonic()
    error = await fails(pool, "http://slow.invalid:80", policy=replace(LOCAL, connect_s=0.05))
    assert isinstance(error, LLMTimeoutError)
    assert (error.reason, error.phase) == ("connect", "connect")
    assert time.monotonic() - started < 4
    await pool.aclose()


async def test_a_full_backlog_is_a_connect_timeout(pool: ConnectionPool) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        fillers = [socket.socket() for _ in range(4)]
        for each in fillers:
            each.setblocking(False)
            each.connect_ex(deaf.getsockname())
        await asyncio.sleep(0.02)
        error = await fails(pool, url, policy=replace(LOCAL, connect_s=0.05))
        for each in fillers:
            each.close()
    assert error.reason == "connect"


@pytest.mark.parametrize(
    ("play", "reason", "phase"),
    [
        (plays(then="end"), "eof", "headers"),
        (plays(b"HTTP/1.1 200", then="end"), "eof", "headers"),
        (plays(then="reset"), "reset", "headers"),
        (plays(b"this is not HTTP\r\n\r\n"), "protocol", "headers"),
        (plays(b"\x15\x03\x01\x00\x02\x02\x46"), "protocol", "headers"),
        (plays(HEAD + b"".join(b"X-%d: a\r\n" % i for i in range(10_000)) + b"\r\n"), "protocol", "headers"),
        (plays(HEAD + b"X: " + b"a" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n"), "protocol", "headers"),
        (
            plays(
                HEAD + b"".join(b"X-%d: %b\r\n" % (i, b"a" * 9_000) for i in range(20)) + b"Content-Length: 0\r\n\r\n"
            ),
            "too_large",
            "headers",
        ),
        (plays(HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "protocol", "headers"),
        (plays(HEAD + b"Content-Length: -5\r\n\r\nhello"), "protocol", "headers"),
        (plays(HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"), "protocol", "headers"),
        (
            plays(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"),
            "protocol",
            "headers",
        ),
        (plays(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000, then="hang"), "protocol", "headers"),
        (plays(HEAD + b"Content-Length: 10\r\n\r\nhello"), "eof", "body"),
        (plays(HEAD + b"Content-Length: 10\r\n\r\nhello", then="reset"), "reset", "body"),
        (plays(HEAD + b"\r\nhello", then="reset"), "reset", "body"),
        (plays(CHUNKED + b"5\r\nhello\r\n"), "eof", "body"),
        (plays(CHUNKED + b"5\r\nhello\r\n", then="reset"), "reset", "body"),
        (plays(CHUNKED + b"5\r\nhello\r\nzz\r\nworld\r\n", then="hang"), "protocol", "headers"),
        (plays(CHUNKED + b"5\r\nhello\r\n", b"zz\r\nworld\r\n", then="hang", pause=0.02), "protocol", "body"),
        (plays(HEAD + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx"), "protocol", "headers"),
        (plays(HEAD + b"Content-Encoding: gzip, gzip, gzip\r\nContent-Length: 1\r\n\r\nx"), "too_large", "headers"),
        (plays(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!"), "protocol", "body"),
        (plays(answer(gzip.compress(b"x" * 500)[:-9], Content_Encoding="gzip")), "eof", "body"),
        (plays(answer(gzip.compress(bytes(4 * MIB)), Content_Encoding="gzip")), "too_large", "body"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_misbehaving_server_is_a_typed_error(
    pool: ConnectionPool, play: Play, reason: str, phase: str, stream: bool
) -> None:
    async with WireServer(play) as server:
        request = WireRequest("/chat", (("Authorization", f"Bearer {KEY}"),), b"{}", bound=within(5))
        error = await fails(pool, server.base_url, request, stream=stream)
    assert (error.reason, error.phase) == (reason, phase)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("head", [b"", HEAD + b"Content-Length: 10\r\n\r\nhello"], ids=["silent", "half"])
async def test_a_server_that_hangs_ends_with_the_attempt(pool: ConnectionPool, head: bytes, stream: bool) -> None:
    async with WireServer(plays(head, then="hang")) as server:
        started = time.monotonic()
        error = await fails(pool, server.base_url, WireRequest("/chat", (), b"{}", bound=within(0.05)), stream=stream)
    assert isinstance(error, LLMTimeoutError)
    assert error.reason == "attempt"
    assert 0.04 < time.monotonic() - started < 4


async def test_the_bound_names_whose_it_is(pool: ConnectionPool) -> None:
    async with WireServer(plays(then="hang")) as server:
        bound = Bound(time.monotonic() + 0.02, "deadline")
        error = await fails(pool, server.base_url, WireRequest("/chat", (), b"{}", bound=bound))
    assert error.reason == "deadline"
    assert not error.retryable


async def test_nothing_is_sent_after_the_bound(pool: ConnectionPool) -> None:
    async with WireServer() as server:
        await fails(pool, server.base_url, WireRequest("/chat", (), b"{}", bound=within(-1)))
        assert server.connections == 0


async def test_one_byte_now_and_then_does_not_defeat_the_bound(pool: ConnectionPool) -> None:
    async with WireServer(plays(CHUNKED, *[b"1\r\nx\r\n"] * 1000, then="hang", pause=0.005)) as server:
        request = WireRequest("/chat", (), b"{}", idle_s=1, bound=within(0.1))
        error = await fails(pool, server.base_url, request, stream=True)
    assert error.reason == "attempt"


async def test_a_stall_in_a_stream_is_idle(pool: ConnectionPool) -> None:
    async with WireServer(plays(CHUNKED, b"5\r\nhello\r\n", then="hang", pause=0.03)) as server:
        request = WireRequest("/chat", (), b"{}", idle_s=0.05, bound=within(5))
        started = time.monotonic()
        error = await fails(pool, server.base_url, request, stream=True)
    assert error.reason == "idle"
    assert 0.07 < time.monotonic() - started < 4


@pytest.mark.parametrize(("then", "reason"), [("end", "eof"), ("reset", "reset")])
async def test_what_came_before_the_break_is_delivered_also_to_a_slow_reader(
    pool: ConnectionPool, then: str, reason: str
) -> None:
    async with WireServer(plays(CHUNKED, b"3\r\none\r\n", b"3\r\ntwo\r\n", then=then, pause=0.01)) as server:
        lease = await pool.acquire(server.base_url, LOCAL)
        chunks = (await lease.send(WireRequest("/chat", (), b"{}"))).chunks()
        await eventually(lambda: server.open == 0)
        await asyncio.sleep(0.02)
        assert await anext(chunks) == b"onetwo"
        with pytest.raises(LLMNetworkError) as caught:
            await anext(chunks)
        assert caught.value.reason == reason
        pool.release(lease)


async def test_an_endless_body_is_too_large(pool: ConnectionPool) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.start_chunks()
        while not exchange.writer.is_closing():
            await exchange.chunk(b"x" * 60_000)

    limits = replace(LOCAL.limits, body=MIB, stream=2 * MIB)
    async with WireServer(endless) as server:
        for stream in (False, True):
            error = await fails(pool, server.base_url, stream=stream, policy=replace(LOCAL, limits=limits))
            assert isinstance(error, LLMProtocolError)
            assert error.reason == "too_large"
            assert ("limits.stream" if stream else "limits.body") in error.message


async def test_a_body_declared_too_large_is_not_read(pool: ConnectionPool) -> None:
    async with WireServer(plays(HEAD + b"Content-Length: 99999999999\r\n\r\nx", then="hang")) as server:
        error = await fails(pool, server.base_url)
    assert error.reason == "too_large"


async def test_an_endless_error_body_is_cut_and_its_connection_closed(pool: ConnectionPool) -> None:
    async with WireServer(plays(answer(b"x" * MIB, 500), then="hang")) as server:
        lease = await pool.acquire(server.base_url, LOCAL)
        reply = await lease.send(WireRequest("/chat", (), b"{}"))
        assert (reply.status, await reply.read()) == (500, b"x" * LOCAL.limits.error_body)
        pool.release(lease)
        assert pool.get_stats().idle == 0


async def test_a_request_larger_than_its_limit_is_never_sent(pool: ConnectionPool) -> None:
    policy = replace(LOCAL, limits=replace(LOCAL.limits, request=10))
    async with WireServer() as server:
        error = await fails(pool, server.base_url, WireRequest("/chat", (), b"x" * 11), policy=policy)
        assert isinstance(error, LLMValidationError)
        assert error.reason == "request_too_large"
        assert server.connections == 0


async def test_waiting_for_a_lease_ends_with_the_queue(pool: ConnectionPool) -> None:
    policy = replace(LOCAL, pool=PoolPolicy(max_connections=1), queue_s=0.03)
    lease = await pool.acquire("http://127.0.0.1:1", policy)
    with pytest.raises(LLMTimeoutError) as caught:
        await pool.acquire("http://127.0.0.1:1", policy)
    assert (caught.value.reason, caught.value.disposition.trips_breaker) == ("queue", False)
    with pytest.raises(LLMTimeoutError) as caught:
        await pool.acquire("http://127.0.0.1:1", policy, Bound(time.monotonic() + 0.01, "deadline"))
    assert caught.value.reason == "deadline"
    pool.release(lease)


async def test_a_redirect_is_returned_and_never_followed(pool: ConnectionPool) -> None:
    async with WireServer() as second:

        async def redirect(exchange: Exchange) -> None:
            await exchange.answer(b"", 307, Location=f"{second.base_url}/chat")

        async with WireServer(redirect) as first:
            lease = await pool.acquire(first.base_url, LOCAL)
            reply = await lease.send(WireRequest("/chat", (("x-api-key", KEY),), b"{}"))
            assert (reply.status, reply.headers["location"]) == (307, f"{second.base_url}/chat")
            pool.release(lease)
        assert second.connections == 0


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


async def test_a_trusted_certificate_is_accepted_and_the_connection_reused(authority: trustme.CA) -> None:
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    pool = ConnectionPool(tls=trust)
    async with WireServer(tls=server_tls(authority, "127.0.0.1")) as server:
        assert await ask(pool, server.base_url, b'"a"') == b'"a"'
        assert await ask(pool, server.base_url, b'"b"') == b'"b"'
        assert server.connections == 1
        await pool.aclose()


async def test_an_untrusted_certificate_is_refused(pool: ConnectionPool, authority: trustme.CA) -> None:
    async with WireServer(tls=server_tls(authority, "127.0.0.1")) as server:
        error = await fails(pool, server.base_url)
    assert (error.reason, error.phase, error.retryable) == ("tls_certificate", "connect", False)


async def test_a_certificate_of_another_host_is_refused(authority: trustme.CA) -> None:
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    pool = ConnectionPool(tls=trust)
    async with WireServer(tls=server_tls(authority, "elsewhere.example")) as server:
        assert (await fails(pool, server.base_url)).reason == "tls_certificate"
    await pool.aclose()


async def test_plain_http_on_a_tls_port_is_a_tls_failure(pool: ConnectionPool) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with raw_server(plain) as port:
        error = await fails(pool, f"https://127.0.0.1:{port}")
    assert (error.reason, error.phase) == ("tls", "connect")


async def test_an_end_in_the_handshake_is_a_reset(pool: ConnectionPool) -> None:
    async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)

    async with raw_server(slam) as port:
        error = await fails(pool, f"https://127.0.0.1:{port}")
    assert (error.reason, error.phase) == ("reset", "connect")


async def test_the_key_goes_only_to_the_origin_of_the_lease(pool: ConnectionPool) -> None:
    async with WireServer() as server:
        lease = await pool.acquire(f"{server.base_url}/v1", TransportPolicy(allow_private=True))
        await lease.send(WireRequest("@evil.example/chat", (("x-api-key", KEY),), b"{}"))
        pool.release(lease)
        assert server.seen[0].path == "/v1/@evil.example/chat"
        assert server.seen[0].header("host") == f"127.0.0.1:{server.port}"
