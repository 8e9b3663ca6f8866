"""The network engine: what goes over the wire, what comes back, and which connections are kept."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import replace

import pytest

from loomwire.domain.errors import ConfigError, LLMError
from loomwire.domain.policies import PoolPolicy
from loomwire.domain.ports.pool import WireRequest
from loomwire.infrastructure.transport.pool import ConnectionPool
from support.wire_server import LOCAL, Exchange, WireServer, ask, eventually, raw_server


async def test_a_request_goes_out_with_exactly_the_headers_asked_for(pool: ConnectionPool) -> None:
    async with WireServer() as server:
        lease = await pool.acquire(f"{server.base_url}/v1/", LOCAL)
        headers = (("Authorization", "Bearer k"), ("Content-Type", "application/json"))
        await (await lease.send(WireRequest("/chat?x=1", headers, b'{"a": 1}'))).read()
        pool.release(lease)
        assert server.seen[0].body == b'{"a": 1}'
        assert server.seen[0].head.decode().splitlines() == [
            "POST /v1/chat?x=1 HTTP/1.1",
            f"Host: 127.0.0.1:{server.port}",
            "Accept-Encoding: gzip, identity",
            "Authorization: Bearer k",
            "Content-Type: application/json",
            "Content-Length: 8",
            "",
        ]


async def test_other_methods_and_accepted_codings_are_the_caller_s(pool: ConnectionPool) -> None:
    async with WireServer() as server:
        lease = await pool.acquire(server.base_url, LOCAL)
        await (await lease.send(WireRequest("models", (("accept-encoding", "identity"),), b"", method="GET"))).read()
        head = await lease.send(WireRequest("/models", (), b"", method="HEAD"))
        assert await head.read() == b""
        pool.release(lease)
        lines = server.seen[0].head.decode().splitlines()
        assert lines[0] == "GET /models HTTP/1.1"
        assert "accept-encoding: identity" in lines
        assert not any(line.lower().startswith("content-length") for line in lines)


@pytest.mark.parametrize(
    "header",
    [
        ("Authorization", "Bearer sk-secret\n"),
        ("Authorization", "Bearer sk-secret\r\nX: y"),
        ("Authorization", "sk-secret\0"),
        ("Bad Name", "sk-secret"),
        ("", "sk-secret"),
        ("X\r\nY", "sk-secret"),
        ("Host", "sk-secret"),
        ("content-length", "3"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
    ],
)
async def test_headers_that_would_change_the_request_are_refused_without_their_value(
    pool: ConnectionPool, header: tuple[str, str]
) -> None:
    async with WireServer() as server:
        lease = await pool.acquire(server.base_url, LOCAL)
        with pytest.raises(ConfigError) as caught:
            await lease.send(WireRequest("/chat", (header,), b"{}"))
        pool.release(lease)
        assert caught.value.reason == "out_of_range"
        assert "secret" not in str(caught.value)
        assert server.connections == 0


@pytest.mark.parametrize("path", ["/chat#part", "/a\nb", "/\x00"])
async def test_a_path_that_is_none_is_refused(pool: ConnectionPool, path: str) -> None:
    lease = await pool.acquire("http://127.0.0.1:1", LOCAL)
    with pytest.raises(ConfigError):
        await lease.send(WireRequest(path, (), b"{}"))
    pool.release(lease)


async def test_a_large_request_arrives_whole(pool: ConnectionPool) -> None:
    body = bytes(range(256)) * 20_000
    async with WireServer() as server:
        assert await ask(pool, server.base_url, body) == body


async def test_one_connection_carries_many_requests(pool: ConnectionPool) -> None:
    async with WireServer() as server:
        for number in range(200):
            assert await ask(pool, server.base_url, b"%d" % number) == b"%d" % number
        assert server.connections == 1
        stats = pool.get_stats()
    assert (stats.total, stats.successful, stats.reused, stats.opened, stats.idle) == (200, 200, 199, 1, 1)
    assert stats.reuse_rate > 0.95


async def test_at_most_keepalive_connections_are_kept(pool: ConnectionPool) -> None:
    policy = replace(LOCAL, pool=PoolPolicy(keepalive=2))
    async with WireServer() as server:
        await asyncio.gather(*(ask(pool, server.base_url, policy=policy) for _ in range(6)))
        assert server.connections == 6
        assert pool.get_stats().idle == 2


async def test_an_idle_connection_is_closed_after_its_time(pool: ConnectionPool) -> None:
    policy = replace(LOCAL, pool=PoolPolicy(keepalive_expiry_s=0.03))
    async with WireServer() as server:
        await ask(pool, server.base_url, policy=policy)
        await eventually(lambda: (pool.get_stats().idle, server.open) == (0, 0))
        await ask(pool, server.base_url, policy=policy)
        assert server.connections == 2


async def test_idle_connections_are_closed_one_after_the_other(pool: ConnectionPool) -> None:
    async def play(exchange: Exchange) -> None:
        await asyncio.sleep(float(exchange.body))
        await exchange.answer()

    policy = replace(LOCAL, pool=PoolPolicy(keepalive_expiry_s=0.05))
    async with WireServer(play) as server:
        await asyncio.gather(*(ask(pool, server.base_url, body, policy) for body in (b"0", b"0.03")))
        await eventually(lambda: (pool.get_stats().idle, server.open) == (0, 0))
        assert server.connections == 2


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
    ],
    ids=["close", "1.0", "until the end", "two answers"],
)
async def test_a_connection_that_cannot_be_trusted_again_is_not_kept(pool: ConnectionPool, reply: bytes) -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.send(reply)
        if b"poison" not in reply:
            exchange.end()

    async with WireServer(play) as server:
        for _ in range(3):
            assert await ask(pool, server.base_url) == b"{}"
        assert server.connections == 3


async def test_an_answer_that_comes_while_idle_is_nobody_s(pool: ConnectionPool) -> None:
    poisoned = asyncio.Event()

    async def play(exchange: Exchange) -> None:
        await exchange.answer(exchange.body)
        await asyncio.sleep(0.02)
        await exchange.answer(b"poison")
        poisoned.set()

    async with WireServer(play) as server:
        assert await ask(pool, server.base_url, b"1") == b"1"
        await poisoned.wait()
        await asyncio.sleep(0.02)
        assert await ask(pool, server.base_url, b"2") == b"2"


async def test_a_connection_the_server_closed_while_idle_is_replaced(pool: ConnectionPool) -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.answer()
        exchange.end()

    async with WireServer(play) as server:
        for _ in range(5):
            await ask(pool, server.base_url)
            await eventually(lambda: pool.get_stats().idle == 0)
        assert pool.get_stats().successful == 5


async def test_interim_answers_are_passed_over(pool: ConnectionPool) -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        await exchange.answer(b'"final"')

    async with WireServer(play) as server:
        assert await ask(pool, server.base_url) == b'"final"'


async def test_the_first_event_arrives_before_the_last_is_sent(pool: ConnectionPool) -> None:
    arrived = asyncio.Event()

    async def play(exchange: Exchange) -> None:
        await exchange.start_chunks()
        await exchange.chunk(b"data: first\n\n")
        await asyncio.wait_for(arrived.wait(), 5)
        await exchange.chunk(b"data: last\n\n")
        await exchange.chunk(b"")

    async with WireServer(play) as server:
        lease = await pool.acquire(server.base_url, LOCAL)
        reply = await lease.send(WireRequest("/chat", (), b"{}", idle_s=5))
        chunks = reply.chunks()
        assert await anext(chunks) == b"data: first\n\n"
        arrived.set()
        assert [chunk async for chunk in chunks] == [b"data: last\n\n"]
        pool.release(lease)
        assert pool.get_stats().idle == 1


async def test_a_compressed_stream_is_delivered_as_it_comes(pool: ConnectionPool) -> None:
    arrived = asyncio.Event()

    async def play(exchange: Exchange) -> None:
        await exchange.start_chunks(Content_Encoding="gzip")
        packed = gzip.compress(b"data: 1\n\n" * 2)
        await exchange.chunk(packed[:-8])
        await asyncio.wait_for(arrived.wait(), 5)
        await exchange.chunk(packed[-8:])
        await exchange.chunk(b"")

    async with WireServer(play) as server:
        lease = await pool.acquire(server.base_url, LOCAL)
        chunks = (await lease.send(WireRequest("/chat", (), b"{}"))).chunks()
        assert await anext(chunks) == b"data: 1\n\n" * 2
        arrived.set()
        assert [chunk async for chunk in chunks] == []
        pool.release(lease)


async def test_a_slow_reader_slows_the_server_down(pool: ConnectionPool) -> None:
    sent = 0

    async def play(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.start_chunks()
        while sent < 600:
            await exchange.chunk(b"x" * 60_000)
            sent += 1
        await exchange.chunk(b"")

    async with WireServer(play) as server:
        lease = await pool.acquire(server.base_url, LOCAL)
        reply = await lease.send(WireRequest("/chat", (), b"{}"))
        chunks = reply.chunks()
        await anext(chunks)
        await asyncio.sleep(0.08)
        assert sent < 300
        reply.close()
        pool.release(lease)


async def test_an_early_answer_is_delivered_and_its_connection_dropped(pool: ConnectionPool) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 X\r\nContent-Length: 2\r\n\r\nno")
        await asyncio.Event().wait()

    async with raw_server(deaf) as port:
        lease = await pool.acquire(f"http://127.0.0.1:{port}", LOCAL)
        reply = await lease.send(WireRequest("/chat", (), b"x" * (16 * 2**20)))
        assert (reply.status, await reply.read()) == (413, b"no")
        pool.release(lease)
        assert pool.get_stats().idle == 0


async def test_closing_the_pool_wakes_whoever_still_reads(pool: ConnectionPool) -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.start_chunks()
        await asyncio.Event().wait()

    async with WireServer(play) as server:
        lease = await pool.acquire(server.base_url, LOCAL)
        reply = await lease.send(WireRequest("/chat", (), b"{}"))
        reading = asyncio.create_task(reply.read())
        waiting = asyncio.create_task(ask(pool, server.base_url))
        await asyncio.sleep(0.02)
        await pool.aclose()
        for task in (reading, waiting):
            with pytest.raises(LLMError) as caught:
                await asyncio.wait_for(task, 1)
            assert (caught.value.reason, caught.value.retryable) == ("closed", False)
            assert not caught.value.disposition.trips_breaker
        pool.release(lease)
