"""What an answer says survives a body that cannot be read, and framing is not free."""

from __future__ import annotations

import asyncio

import pytest

from loomwire.domain.errors import LLMError
from loomwire.domain.policies import MIB, TransportPolicy, WireLimits
from loomwire.domain.ports.pool import WireAnswer, WireRequest
from loomwire.domain.requests import Bound
from loomwire.infrastructure.transport.pool import ConnectionPool
from support.wire_server import LOCAL, Exchange, WireServer, answer

SMALL = TransportPolicy(allow_private=True, limits=WireLimits(body=MIB // 16, stream=MIB // 16))


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"Content_Encoding": "br"}, "protocol"),
        ({"Content_Encoding": "zstd, gzip"}, "protocol"),
        ({"Content_Encoding": "gzip, gzip, gzip"}, "too_large"),
        ({f"X_{number}": "a" * 9_000 for number in range(20)}, "too_large"),
    ],
    ids=["br", "zstd", "codings", "headers"],
)
@pytest.mark.parametrize("status", [302, 401, 429, 503])
@pytest.mark.parametrize("stream", [False, True], ids=["read", "chunks"])
async def test_a_bad_status_is_known_though_its_body_cannot_be_read(
    pool: ConnectionPool, headers: dict[str, str], reason: str, status: int, stream: bool
) -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.send(answer(b"abc", status, Retry_After="7", **headers))

    async with WireServer(play) as server:
        lease = await pool.acquire(server.base_url, LOCAL)
        reply = await lease.send(WireRequest("/chat", (), b"{}"))
        assert (reply.status, reply.headers["retry-after"]) == (status, "7")
        with pytest.raises(LLMError) as caught:
            await (anext(reply.chunks()) if stream else reply.read())
        assert (caught.value.reason, caught.value.__context__) == (reason, None)
        pool.release(lease)


async def collected(reply: WireAnswer) -> bytes:
    """Read a stream to its end."""
    return b"".join([chunk async for chunk in reply.chunks()])


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("first", [b"", b"5\r\nhello\r\n"], ids=["at once", "after a chunk"])
@pytest.mark.parametrize("stream", [False, True], ids=["read", "chunks"])
async def test_endless_chunk_extensions_are_too_large(pool: ConnectionPool, first: bytes, stream: bool) -> None:
    sent = 0

    async def play(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(HEAD, first, b"5;")
        while not exchange.writer.is_closing():
            await exchange.send(b"a" * 60_000)
            sent += 60_000

    async with WireServer(play) as server:
        lease = await pool.acquire(server.base_url, SMALL)
        bound = Bound(asyncio.get_running_loop().time() + 5)
        reply = await lease.send(WireRequest("/chat", (), b"{}", bound=bound))
        with pytest.raises(LLMError) as caught:
            await (collected(reply) if stream else reply.read())
        assert caught.value.reason == "too_large"
        pool.release(lease)
        assert sent < 16 * MIB


async def test_a_body_of_one_byte_chunks_is_no_excess(pool: ConnectionPool) -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.send(HEAD, b"1\r\nx\r\n" * 60_000, b"0\r\n\r\n")

    async with WireServer(play) as server:
        for _ in range(5):
            lease = await pool.acquire(server.base_url, SMALL)
            reply = await lease.send(WireRequest("/chat", (), b"{}"))
            assert await reply.read() == b"x" * 60_000
            pool.release(lease)
        assert server.connections == 1
