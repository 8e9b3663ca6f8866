"""No frame that an error or its context keeps shows the key or the prompt."""

from __future__ import annotations

import asyncio
import socket
import traceback
from collections.abc import Iterator

import pytest

from loomwire.domain.errors import ConfigError, LLMError
from loomwire.domain.ports.pool import WireRequest
from loomwire.domain.requests import Bound
from loomwire.infrastructure.transport.pool import ConnectionPool
from support.wire_server import LOCAL, Exchange, Play, WireServer

CANARY = "canary-3c1d"
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


def plays(data: bytes, then: str) -> Play:
    async def play(exchange: Exchange) -> None:
        await exchange.send(data)
        if then == "reset":
            await asyncio.sleep(0.01)
            exchange.reset()
        elif then == "hang":
            await asyncio.Event().wait()
        else:
            exchange.end()

    return play


def secret_request(within_s: float | None = None, reason: str = "deadline") -> WireRequest:
    """Return a request with the canary everywhere."""
    headers = (("Authorization", f"Bearer {CANARY}"), ("x-api-key", CANARY), ("api-key", CANARY))
    bound = None
    if within_s is not None:
        bound = Bound(asyncio.get_running_loop().time() + within_s, "attempt" if reason == "attempt" else "deadline")
    return WireRequest("/chat", headers, f'"{CANARY}"'.encode(), idle_s=0.03 if reason == "idle" else None, bound=bound)


def kept_by(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and everything its chain keeps."""
    seen: list[BaseException] = []
    found: list[BaseException | None] = [error]
    while found:
        each = found.pop()
        if each is not None and each not in seen:
            seen.append(each)
            found += [each.__cause__, each.__context__]
            yield each


def shown(error: BaseException) -> list[str]:
    """Return the places in the chain's frames whose repr shows the canary."""
    frames = [pair for each in kept_by(error) for pair in traceback.walk_tb(each.__traceback__)]
    return [
        f"{frame.f_code.co_filename}:{line} {name}"
        for frame, line in frames
        for name, value in frame.f_locals.items()
        if CANARY in repr(value)
    ]


async def consume(pool: ConnectionPool, url: str, request: WireRequest) -> None:
    """Send and read everything."""
    lease = await pool.acquire(url, LOCAL)
    try:
        async for _ in (await lease.send(request)).chunks():
            pass
    finally:
        pool.release(lease)


def test_the_walk_would_find_a_canary() -> None:
    def careless() -> None:
        head = f"Authorization: {CANARY}"
        raise ZeroDivisionError(len(head))

    with pytest.raises(ZeroDivisionError) as caught:
        careless()
    assert len(shown(caught.value)) == 1


@pytest.mark.parametrize(
    ("play", "reason"),
    [
        (plays(b"", "hang"), "deadline"),
        (plays(HEAD, "hang"), "deadline"),
        (plays(b"", "hang"), "attempt"),
        (plays(HEAD, "hang"), "idle"),
        (plays(b"", "reset"), "reset"),
        (plays(HEAD, "reset"), "reset"),
        (plays(HEAD, "end"), "eof"),
        (plays(b"no HTTP\r\n\r\n", "hang"), "protocol"),
    ],
)
async def test_the_frames_of_a_failed_call_hold_no_secret(pool: ConnectionPool, play: Play, reason: str) -> None:
    async with WireServer(play) as server:
        within_s = 5 if reason == "idle" else 0.05
        with pytest.raises(LLMError) as caught:
            await consume(pool, server.base_url, secret_request(within_s, reason))
    assert caught.value.reason == reason
    assert len(list(kept_by(caught.value))) == 1
    assert shown(caught.value) == []


async def test_the_frames_of_a_refused_call_hold_no_secret(pool: ConnectionPool) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(LLMError) as caught:
        await consume(pool, url, secret_request())
    assert (caught.value.reason, shown(caught.value)) == ("refused", [])


@pytest.mark.parametrize("data", [b"", HEAD], ids=["before the headers", "in the body"])
async def test_a_timeout_from_above_keeps_frames_without_secrets(pool: ConnectionPool, data: bytes) -> None:
    async with WireServer(plays(data, "hang")) as server:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05):
                await consume(pool, server.base_url, secret_request(5))
    assert len(list(kept_by(caught.value))) > 1
    assert shown(caught.value) == []


async def test_a_timeout_from_above_while_connecting_keeps_frames_without_secrets() -> None:
    async def never(host: str, port: int) -> tuple[str, ...]:
        await asyncio.Event().wait()
        return ()

    pool = ConnectionPool(resolver=never)
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.05):
            await consume(pool, "http://slow.invalid:80", secret_request(5))
    assert shown(caught.value) == []
    await pool.aclose()


async def test_the_frames_of_a_refused_header_hold_no_secret(pool: ConnectionPool) -> None:
    request = WireRequest("/chat", (("x-api-key", CANARY), ("Authorization", f"Bearer {CANARY}\n")), b"{}")
    with pytest.raises(ConfigError) as caught:
        await consume(pool, "http://127.0.0.1:1", request)
    assert shown(caught.value) == []
