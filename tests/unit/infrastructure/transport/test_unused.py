"""Places that nobody asks for any more: what is idle closes, what is in use goes on and closes afterwards."""

from __future__ import annotations

import asyncio

import httpx

from loomwire.domain.policies import TransportPolicy
from loomwire.domain.ports.pool import WireRequest
from loomwire.infrastructure.transport.deferred import DeferredPool
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import Recorder
from support.wire_server import LOCAL, WireServer, ask, eventually


async def test_idle_connections_of_a_place_that_is_gone_are_closed(pool: ConnectionPool) -> None:
    async with WireServer() as gone, WireServer() as kept:
        await ask(pool, gone.base_url)
        await ask(pool, kept.base_url)
        await asyncio.to_thread(pool.close_unused, [(gone.base_url, LOCAL)], [(kept.base_url, LOCAL)])
        await eventually(lambda: gone.open == 0)
        assert (kept.open, pool.get_stats().idle) == (1, 1)
        # Somebody asks all the same.
        await ask(pool, gone.base_url)
        assert gone.open == 1


async def test_an_origin_that_is_still_used_by_another_path_keeps_its_connections(pool: ConnectionPool) -> None:
    async with WireServer() as server:
        await ask(pool, server.base_url)
        pool.close_unused([(server.base_url, LOCAL)], [(f"{server.base_url}/other", LOCAL)])
        await asyncio.sleep(0)
        await ask(pool, server.base_url)
        assert pool.get_stats().opened == 1


async def test_a_lease_that_is_out_goes_on_and_its_connection_closes_when_it_comes_back(pool: ConnectionPool) -> None:
    async with WireServer() as server:
        lease = await pool.acquire(server.base_url, LOCAL)
        answer = await lease.send(WireRequest("/chat", (), b""))
        pool.close_unused([(server.base_url, LOCAL)], [])
        await asyncio.sleep(0)
        await answer.read()
        await eventually(lambda: server.open == 0)
        answer = await lease.send(WireRequest("/chat", (), b""))
        await answer.read()
        assert pool.get_stats().active == 1
        pool.release(lease)
        await eventually(lambda: server.open == 0)
        pool.close_unused([], [])
        await asyncio.sleep(0)
        assert pool.get_stats().active == 0


async def test_closing_the_pool_ends_what_is_on_its_way_out_too() -> None:
    pool = ConnectionPool()
    async with WireServer() as server:
        lease = await pool.acquire(server.base_url, LOCAL)
        answer = await lease.send(WireRequest("/chat", (), b""))
        pool.close_unused([(server.base_url, LOCAL)], [])
        await asyncio.sleep(0)
        await pool.aclose()
        await eventually(lambda: server.open == 0)
        answer.close()
        pool.release(lease)


async def test_a_place_nobody_asked_for_and_one_that_is_not_allowed_change_nothing(pool: ConnectionPool) -> None:
    async with WireServer() as server:
        await ask(pool, server.base_url)
        pool.close_unused([("http://10.0.0.1", TransportPolicy()), ("https://example.com", LOCAL)], [])
        await asyncio.sleep(0)
        assert server.open == 1


async def test_a_transport_of_the_host_is_left_to_its_loop() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=b"x"))
    pool = ConnectionPool(transport_factory=lambda _, __: transport)
    await ask(pool, "http://127.0.0.1:1")
    pool.close_unused([("http://127.0.0.1:1", LOCAL)], [])
    await asyncio.sleep(0)
    await ask(pool, "http://127.0.0.1:1")
    await pool.aclose()


def test_a_loop_that_is_closed_needs_nothing_and_neither_does_a_pool_that_was_never_used() -> None:
    DeferredPool().close_unused([("http://127.0.0.1:1", LOCAL)], [])
    Recorder("tapes").close_unused([("http://127.0.0.1:1", LOCAL)], [])
    pool = ConnectionPool()

    async def held() -> object:
        lease = await pool.acquire("http://127.0.0.1:1", LOCAL)
        room = pool._room()
        pool.release(lease)
        return room

    room = asyncio.run(held())
    pool.close_unused([("http://127.0.0.1:1", LOCAL)], [])
    assert room is not None


async def test_a_deferred_pool_passes_it_on() -> None:
    pool = DeferredPool()
    async with WireServer() as server:
        await ask(pool, server.base_url)
        pool.close_unused([(server.base_url, LOCAL)], [])
        await eventually(lambda: server.open == 0)
        await pool.aclose()
