"""The httpx seam: what plugs in instead of the network engine, the engine as a plain httpx transport, and proxies."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from dataclasses import replace

import httpx
import pytest
import trustme
from typing_extensions import override

from loomwire.domain.errors import ConfigError, LLMError
from loomwire.domain.policies import PoolPolicy, TransportPolicy
from loomwire.domain.ports.pool import WireRequest
from loomwire.infrastructure.transport.addresses import Origin
from loomwire.infrastructure.transport.engine import AiohttpTransport, RequestBody
from loomwire.infrastructure.transport.pool import ConnectionPool
from support.wire_server import LOCAL, Exchange, WireServer, ask, raw_server


def uncounted(_: bool) -> None:
    """Keep no statistics."""


async def test_mock_transport_plugs_in() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert (str(request.url), request.headers["x-key"]) == ("https://api.example.com/v1/chat", "k")
        return httpx.Response(200, headers={"X-Seen": request.headers["content-length"]}, content=request.content)

    pool = ConnectionPool(transport_factory=lambda *_: httpx.MockTransport(handler))
    lease = await pool.acquire("https://api.example.com/v1")
    reply = await lease.send(WireRequest("/chat", (("X-Key", "k"),), b"hello"))
    assert (reply.status, reply.headers["x-seen"], await reply.read()) == (200, "5", b"hello")
    pool.release(lease)
    stats = pool.get_stats()
    assert (stats.total, stats.successful, stats.opened, stats.active) == (1, 1, 0, 0)
    await pool.aclose()


async def test_a_streaming_mock_is_closed_when_the_answer_is() -> None:
    closed = asyncio.Event()

    class Slow(httpx.AsyncByteStream):
        @override
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"a"
            yield b""
            yield b"b"

        @override
        async def aclose(self) -> None:
            await asyncio.sleep(0)
            closed.set()

    mock = httpx.MockTransport(lambda _: httpx.Response(200, stream=Slow()))
    pool = ConnectionPool(transport_factory=lambda *_: mock)
    lease = await pool.acquire("https://api.example.com")
    reply = await lease.send(WireRequest("/", (), b""))
    assert [chunk async for chunk in reply.chunks()] == [b"a", b"b"]
    reply.close()
    pool.release(lease)
    await asyncio.wait_for(closed.wait(), 1)
    await pool.aclose()


async def test_an_asgi_application_plugs_in() -> None:
    async def app(
        scope: MutableMapping[str, object],
        receive: Callable[[], Awaitable[MutableMapping[str, object]]],
        send: Callable[[MutableMapping[str, object]], Awaitable[None]],
    ) -> None:
        message = await receive()
        await send({"type": "http.response.start", "status": 201, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": message["body"]})

    pool = ConnectionPool(transport_factory=lambda *_: httpx.ASGITransport(app))
    lease = await pool.acquire("https://inside.example")
    reply = await lease.send(WireRequest("/", (), b"ping"))
    assert (reply.status, reply.headers["content-type"], await reply.read()) == (201, "text/plain", b"ping")
    pool.release(lease)
    await pool.aclose()


async def test_what_a_plugged_in_transport_raises_is_mapped_too() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("slow", request=request)

    pool = ConnectionPool(transport_factory=lambda *_: httpx.MockTransport(handler))
    with pytest.raises(LLMError) as caught:
        await ask(pool, "https://api.example.com")
    assert (caught.value.reason, caught.value.phase) == ("connect", "connect")
    await pool.aclose()


async def test_a_defect_in_a_plugged_in_transport_stays_visible() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError

    pool = ConnectionPool(transport_factory=lambda *_: httpx.MockTransport(handler))
    with pytest.raises(ZeroDivisionError):
        await ask(pool, "https://api.example.com")
    assert pool.get_stats().active == 0
    await pool.aclose()


async def test_a_transport_must_answer_asynchronously() -> None:
    class Blocking(httpx.SyncByteStream):
        @override
        def __iter__(self) -> Iterator[bytes]:
            yield b""

    mock = httpx.MockTransport(lambda _: httpx.Response(200, stream=Blocking()))
    pool = ConnectionPool(transport_factory=lambda *_: mock)
    with pytest.raises(TypeError, match="async"):
        await ask(pool, "https://api.example.com")
    await pool.aclose()


async def test_the_engine_is_an_ordinary_httpx_transport() -> None:
    async with WireServer() as server:
        origin = Origin("http", "127.0.0.1", server.port)
        async with httpx.AsyncClient(transport=AiohttpTransport(origin, LOCAL, uncounted)) as client:
            reply = await client.post(f"{server.base_url}/x", content=b"hello", headers={"X-A": "b"})
            assert (reply.status_code, reply.content, server.seen[0].header("x-a")) == (200, b"hello", "b")


async def test_a_head_with_a_hidden_line_break_is_never_written() -> None:
    async with WireServer() as server:
        transport = AiohttpTransport(Origin("http", "127.0.0.1", server.port), LOCAL, uncounted)
        request = httpx.Request("POST", server.base_url, headers={"X": "a\r\nY: b"}, stream=RequestBody(b""))
        with pytest.raises(Exception, match="control character"):
            await transport.handle_async_request(request)
        await transport.aclose()
        assert server.connections == 0


async def test_a_proxy_is_used_only_when_the_environment_is_trusted(environment: MutableMapping[str, str]) -> None:
    async with WireServer() as proxy, WireServer() as server:
        environment["http_proxy"] = f"http://user:p%40ss@127.0.0.1:{proxy.port}"
        pool = ConnectionPool()
        assert await ask(pool, server.base_url, b"1") == b"1"
        assert proxy.connections == 0
        trusting = replace(LOCAL, pool=PoolPolicy(trust_env=True))
        assert await ask(pool, server.base_url, b"2", trusting) == b"2"
        assert proxy.seen[0].path == f"{server.base_url}/chat"
        assert proxy.seen[0].header("host") == f"127.0.0.1:{server.port}"
        assert proxy.seen[0].header("proxy-authorization") == f"Basic {b64encode(b'user:p@ss').decode()}"
        environment["no_proxy"] = "127.0.0.1"
        fresh = ConnectionPool()
        assert await ask(fresh, server.base_url, b"3", trusting) == b"3"
        assert len(proxy.seen) == 1
        await pool.aclose()
        await fresh.aclose()


async def test_a_proxy_that_refuses_a_tunnel_is_a_refusal(environment: MutableMapping[str, str]) -> None:
    async def play(exchange: Exchange) -> None:
        assert exchange.head.startswith(b"CONNECT api.example.com:443 ")
        assert exchange.header("proxy-authorization") == f"Basic {b64encode(b'user:pass').decode()}"
        await exchange.answer(b"", 403)

    async with WireServer(play) as proxy:
        environment["https_proxy"] = f"http://user:pass@127.0.0.1:{proxy.port}"
        pool = ConnectionPool()
        with pytest.raises(LLMError) as caught:
            await ask(pool, "https://api.example.com", policy=replace(LOCAL, pool=PoolPolicy(trust_env=True)))
        assert (caught.value.reason, caught.value.phase) == ("refused", "connect")
        await pool.aclose()


async def test_a_tunnel_through_a_proxy_carries_tls(environment: MutableMapping[str, str]) -> None:
    authority = trustme.CA()
    identity, trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("api.example.com").configure_cert(identity)
    authority.configure_trust(trust)
    async with WireServer(tls=identity) as server:

        async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"CONNECT api.example.com:443 ")
            inner, outer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            await asyncio.gather(pump(reader, outer), pump(inner, writer))

        async with raw_server(tunnel) as port:
            environment["https_proxy"] = f"http://127.0.0.1:{port}"
            pool = ConnectionPool(tls=trust)
            trusting = TransportPolicy(pool=PoolPolicy(trust_env=True))
            assert await ask(pool, "https://api.example.com", b"1", trusting) == b"1"
            assert await ask(pool, "https://api.example.com", b"2", trusting) == b"2"
            assert server.connections == 1
            await pool.aclose()


async def pump(source: asyncio.StreamReader, drain: asyncio.StreamWriter) -> None:
    """Carry bytes until the source ends."""
    while data := await source.read(65536):
        drain.write(data)
    drain.close()


async def test_a_proxy_of_another_kind_is_refused(environment: MutableMapping[str, str]) -> None:
    environment["all_proxy"] = "socks5://127.0.0.1:1"
    pool = ConnectionPool()
    with pytest.raises(ConfigError):
        await pool.acquire("https://api.example.com", TransportPolicy(pool=PoolPolicy(trust_env=True)))
    await pool.aclose()
