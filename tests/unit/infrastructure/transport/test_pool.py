"""Leases: counted, fair, given back whatever happens, and honest about answers left open."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from loomwire.domain.errors import ClientRemovedError, LLMError
from loomwire.domain.policies import PoolPolicy, TransportPolicy
from loomwire.domain.ports.pool import ConnectionLease, IConnectionPool, WireRequest
from loomwire.domain.requests import Bound
from loomwire.infrastructure.transport.pool import ConnectionPool
from support.wire_server import LOCAL, Exchange, WireServer, ask, eventually

NOWHERE = "http://127.0.0.1:1"
ONE = replace(LOCAL, pool=PoolPolicy(max_connections=1))


async def stream_forever(exchange: Exchange) -> None:
    """Begin a stream and keep silent."""
    if exchange.path == "/chat":
        await exchange.answer(exchange.body)
        return
    await exchange.start_chunks()
    await exchange.chunk(b"data: 1\n\n")
    await asyncio.Event().wait()


async def test_the_pool_is_the_port(pool: ConnectionPool) -> None:
    port: IConnectionPool = pool
    lease: ConnectionLease = await port.acquire(f"{NOWHERE}/v1/", LOCAL)
    assert lease.base_url == f"{NOWHERE}/v1/"
    assert port.get_stats().active == 1
    port.release(lease)
    port.release(lease)
    assert port.get_stats().active == 0


async def test_equal_policies_and_paths_of_one_origin_share_connections(pool: ConnectionPool) -> None:
    async with WireServer() as server:
        await ask(pool, server.base_url, policy=TransportPolicy(allow_private=True))
        await ask(pool, f"{server.base_url}/v1", policy=TransportPolicy(allow_private=True))
        await ask(pool, f"{server.base_url}/v1/", policy=TransportPolicy(allow_private=True))
        assert server.connections == 1
        await ask(pool, server.base_url, policy=replace(LOCAL, connect_s=3.0))
        assert server.connections == 2


async def test_no_more_requests_are_under_way_than_allowed(pool: ConnectionPool) -> None:
    at_once = most = 0

    async def play(exchange: Exchange) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.002)
        at_once -= 1
        await exchange.answer(exchange.body)

    policy = replace(LOCAL, pool=PoolPolicy(max_connections=3))
    async with WireServer(play) as server:
        calls = [ask(pool, server.base_url, b"%d" % number, policy) for number in range(30)]
        assert await asyncio.gather(*calls) == [b"%d" % number for number in range(30)]
        assert (most, server.connections) == (3, 3)


async def test_statistics_name_who_waits(pool: ConnectionPool) -> None:
    lease = await pool.acquire(NOWHERE, ONE)
    waiting = asyncio.create_task(pool.acquire(NOWHERE, ONE))
    await asyncio.sleep(0)
    stats = pool.get_stats()
    assert (stats.active, stats.waiting) == (1, 1)
    pool.release(lease)
    pool.release(await waiting)
    assert pool.get_stats().active == 0


async def test_a_bound_behind_the_queue_s_end_leaves_the_reason_queue(pool: ConnectionPool) -> None:
    policy = replace(ONE, queue_s=0.01)
    lease = await pool.acquire(NOWHERE, policy)
    with pytest.raises(LLMError) as caught:
        await pool.acquire(NOWHERE, policy, Bound(time.monotonic() + 5))
    assert caught.value.reason == "queue"
    pool.release(lease)


async def test_a_stream_left_open_is_closed_with_its_lease(pool: ConnectionPool) -> None:
    async with WireServer(stream_forever) as server:
        lease = await pool.acquire(server.base_url, ONE)
        reply = await lease.send(WireRequest("/stream", (), b""))
        assert await anext(aiter(reply.chunks())) == b"data: 1\n\n"
        pool.release(lease)
        await eventually(lambda: server.open == 0)
        assert await ask(pool, server.base_url, b"next", ONE) == b"next"


async def test_a_second_request_of_a_lease_closes_the_first_answer(pool: ConnectionPool) -> None:
    async with WireServer(stream_forever) as server:
        lease = await pool.acquire(server.base_url, ONE)
        await lease.send(WireRequest("/stream", (), b""))
        second = await lease.send(WireRequest("/chat", (), b"2"))
        assert await second.read() == b"2"
        pool.release(lease)
        await eventually(lambda: server.open == 1)


async def test_closing_an_answer_in_the_middle_closes_its_socket_at_once(pool: ConnectionPool) -> None:
    async with WireServer(stream_forever) as server:
        lease = await pool.acquire(server.base_url, LOCAL)
        reply = await lease.send(WireRequest("/stream", (), b""))
        reply.close()
        reply.close()
        await eventually(lambda: server.open == 0)
        assert pool.get_stats().idle == 0
        pool.release(lease)


async def test_closing_an_answer_whose_rest_is_already_here_keeps_the_connection(pool: ConnectionPool) -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.start_chunks()
        await exchange.chunk(b"data: [DONE]\n\n")
        await exchange.chunk(b"data: more\n\n")
        await exchange.chunk(b"")

    async with WireServer(play) as server:
        for _ in range(3):
            lease = await pool.acquire(server.base_url, LOCAL)
            reply = await lease.send(WireRequest("/chat", (), b""))
            await asyncio.sleep(0.02)
            reply.close()
            pool.release(lease)
        assert server.connections == 1


async def test_a_released_lease_sends_nothing(pool: ConnectionPool) -> None:
    async with WireServer() as server:
        lease = await pool.acquire(server.base_url, LOCAL)
        pool.release(lease)
        with pytest.raises(LLMError):
            await lease.send(WireRequest("/chat", (), b""))
        assert server.connections == 0


async def test_a_forgotten_lease_is_missed_and_its_permit_returned(pool: ConnectionPool) -> None:
    leases = [await pool.acquire(NOWHERE, ONE)]
    with pytest.warns(ResourceWarning, match="never released"):
        leases.clear()
    pool.release(await pool.acquire(NOWHERE, ONE, Bound(time.monotonic() + 1)))


async def test_a_forgotten_stream_is_closed_with_its_lease(pool: ConnectionPool) -> None:
    async with WireServer(stream_forever) as server:
        leases = [await pool.acquire(server.base_url, ONE)]
        await leases[0].send(WireRequest("/stream", (), b""))
        with pytest.warns(ResourceWarning, match="never released"):
            leases.clear()
        await eventually(lambda: server.open == 0)
        assert pool.get_stats().active == 0


async def test_policies_that_nobody_uses_any_more_do_not_pile_up(pool: ConnectionPool) -> None:
    async with WireServer() as server:
        busy = await pool.acquire(server.base_url, LOCAL)
        await ask(pool, server.base_url)
        for number in range(300):
            policy = replace(LOCAL, connect_s=1.0 + number, pool=PoolPolicy(keepalive=0))
            await ask(pool, server.base_url, policy=policy)
        stations = [station for room in pool._rooms_now() for station in room.stations]
        assert len(stations) <= 64
        assert await (await busy.send(WireRequest("/chat", (), b"still"))).read() == b"still"
        pool.release(busy)


async def test_headers_are_joined_under_lower_case_names(pool: ConnectionPool) -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nX-B: \xe9\r\nContent-Length: 0\r\n\r\n")

    async with WireServer(play) as server:
        lease = await pool.acquire(server.base_url, LOCAL)
        reply = await lease.send(WireRequest("/chat", (), b""))
        assert dict(reply.headers) == {"x-a": "1, 2", "x-b": "\xe9", "content-length": "0"}
        assert await reply.read() == b""
        pool.release(lease)


async def test_a_closed_pool_says_so() -> None:
    pool = ConnectionPool()
    lease = await pool.acquire(NOWHERE, ONE)
    waiting = asyncio.create_task(pool.acquire(NOWHERE, ONE))
    await asyncio.sleep(0)
    await pool.aclose()
    await pool.aclose()
    for call in (waiting, pool.acquire(NOWHERE, LOCAL)):
        with pytest.raises(ClientRemovedError) as caught:
            await call
        assert caught.value.reason == "closed"
    with pytest.raises(LLMError):
        await lease.send(WireRequest("/chat", (), b""))
    pool.release(lease)


async def test_many_different_requests_do_not_pile_up(pool: ConnectionPool) -> None:
    async with WireServer() as server:
        for number in range(200):
            assert await ask(pool, server.base_url, path=f"/{number}") == b"{}"
        assert server.connections == 1
        assert [each.path for each in server.seen] == [f"/{number}" for number in range(200)]
