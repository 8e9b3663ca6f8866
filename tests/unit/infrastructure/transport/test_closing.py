"""Closing the pool is our doing: whoever was on the wire is told so, and no server is blamed."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Sequence

import pytest

from loomwire.domain.errors import LLMError
from loomwire.domain.ports.pool import WireRequest
from loomwire.domain.requests import Bound
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import FakeClock
from support.wire_server import LOCAL, Exchange, Play, WireServer, answer, ask, eventually

HEAD = b"HTTP/1.1 200 OK\r\n"


def begins(*parts: bytes) -> Play:
    """Send the beginning of an answer and keep silent."""

    async def play(exchange: Exchange) -> None:
        await exchange.send(*parts)
        await asyncio.Event().wait()

    return play


async def was_closed(call: Awaitable[object]) -> None:
    """Fail unless the call ends at once with the error for a closed pool."""
    with pytest.raises(LLMError) as caught:
        await asyncio.wait_for(call, 1)
    error = caught.value
    assert (error.reason, error.retryable, error.disposition.trips_breaker) == ("closed", False, False)
    assert (error.__cause__, error.__context__) == (None, None)


@pytest.mark.parametrize(
    "play",
    [
        begins(b""),
        begins(b"HTTP/1.1 200"),
        begins(HEAD + b"Content-Length: 10\r\n\r\nhello"),
        begins(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        begins(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe"),
        begins(HEAD + b"\r\nhello"),
        begins(answer(gzip.compress(b"hello" * 9), Content_Encoding="gzip")[:-1]),
    ],
    ids=["silent", "half a head", "length", "chunks", "half a chunk", "until the end", "gzip"],
)
async def test_a_plain_call_on_the_wire_is_told_that_the_pool_was_closed(play: Play) -> None:
    pool = ConnectionPool()
    async with WireServer(play) as server:
        call = asyncio.create_task(ask(pool, server.base_url))
        await eventually(lambda: len(server.seen) == 1)
        await asyncio.sleep(0.02)
        await pool.aclose()
        await was_closed(call)


@pytest.mark.parametrize("framing", [b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"\r\nhello"])
async def test_a_stream_on_the_wire_is_told_that_the_pool_was_closed(framing: bytes) -> None:
    pool = ConnectionPool()
    async with WireServer(begins(HEAD + framing)) as server:
        lease = await pool.acquire(server.base_url, LOCAL)
        chunks = (await lease.send(WireRequest("/chat", (), b"{}", idle_s=5))).chunks()
        assert await anext(chunks) == b"hello"
        reading = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0)
        await pool.aclose()
        await was_closed(reading)
        await was_closed(lease.send(WireRequest("/chat", (), b"{}")))
        pool.release(lease)


async def test_an_answer_that_was_here_before_the_pool_was_closed_is_whole() -> None:
    pool = ConnectionPool()
    async with WireServer() as server:
        lease = await pool.acquire(server.base_url, LOCAL)
        reply = await lease.send(WireRequest("/chat", (), b"whole"))
        await asyncio.sleep(0.02)
        await pool.aclose()
        assert await reply.read() == b"whole"
        pool.release(lease)


async def test_a_call_that_looks_up_a_name_is_told_and_not_cancelled() -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    pool = ConnectionPool(resolver=never)
    call = asyncio.create_task(ask(pool, "http://slow.invalid:80"))
    await asyncio.sleep(0.02)
    await pool.aclose()
    await was_closed(call)


async def test_a_connection_that_opens_after_the_end_sends_nothing() -> None:
    looked_up = asyncio.Event()

    async def stubborn(host: str, port: int) -> Sequence[str]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            looked_up.set()
        return ("127.0.0.1",)

    async with WireServer() as server:
        pool = ConnectionPool(resolver=stubborn)
        call = asyncio.create_task(ask(pool, f"http://slow.invalid:{server.port}"))
        await asyncio.sleep(0.02)
        await pool.aclose()
        await was_closed(call)
        assert looked_up.is_set()
        assert not server.seen


async def test_a_bound_that_ends_first_keeps_its_reason() -> None:
    pool = ConnectionPool()
    async with WireServer(begins(b"")) as server:
        lease = await pool.acquire(server.base_url, LOCAL)
        bound = Bound(asyncio.get_running_loop().time() + 0.02)
        with pytest.raises(LLMError) as caught:
            await lease.send(WireRequest("/chat", (), b"{}", bound=bound))
        assert caught.value.reason == "deadline"
        pool.release(lease)
        await pool.aclose()


BOUNDS: list[Callable[[], FakeClock]] = [FakeClock, lambda: FakeClock(1e9)]


@pytest.mark.parametrize("clock", BOUNDS, ids=["zero", "far ahead"])
async def test_bounds_are_instants_of_the_clock_and_not_of_the_loop(clock: Callable[[], FakeClock]) -> None:
    time = clock()
    pool = ConnectionPool(clock=time)
    async with WireServer(begins(b"")) as silent, WireServer() as server:
        lease = await pool.acquire(server.base_url, LOCAL, Bound(time.now() + 5))
        reply = await lease.send(WireRequest("/chat", (), b"good", bound=Bound(time.now() + 5)))
        assert await reply.read() == b"good"
        pool.release(lease)
        lease = await pool.acquire(silent.base_url, LOCAL, Bound(time.now() + 5))
        with pytest.raises(LLMError) as caught:
            await asyncio.wait_for(lease.send(WireRequest("/", (), b"", bound=Bound(time.now() + 0.02, "attempt"))), 1)
        assert caught.value.reason == "attempt"
        pool.release(lease)
        await pool.aclose()
