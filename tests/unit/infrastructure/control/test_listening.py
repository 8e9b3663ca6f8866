"""A server that stops closes everybody it has let in, in whichever turn of the loop they came."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import pytest

from loomwire.domain.values import JSON
from loomwire.infrastructure.control.listening import stop_listening
from loomwire.infrastructure.control.places import open_place
from loomwire.infrastructure.control.protocol import Question
from loomwire.infrastructure.control.server import ControlServer
from loomwire.testing import FakeProvider
from support.wire_server import WireServer, raw_server

Address: TypeAlias = tuple[socket.AddressFamily, str | tuple[str, int]]
"""A family of sockets, and an address in it."""


async def nothing(_: Question) -> dict[str, JSON]:
    """Do nothing."""
    return {}


@asynccontextmanager
async def control(folder: Path) -> AsyncGenerator[Address]:
    """Run a control server."""
    place = await asyncio.to_thread(open_place, folder / "c.sock")
    task = asyncio.create_task(ControlServer(place.listening, nothing).run())
    await asyncio.sleep(0)
    try:
        yield socket.AF_UNIX, str(place.path)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await asyncio.to_thread(place.close)


@asynccontextmanager
async def provider(_: Path) -> AsyncGenerator[Address]:
    """Run a fake provider."""
    async with FakeProvider() as fake:
        yield socket.AF_INET, ("127.0.0.1", int(fake.base_url.rsplit(":", 1)[1].partition("/")[0]))


@asynccontextmanager
async def wire(_: Path) -> AsyncGenerator[Address]:
    """Run the tests' own server of HTTP."""
    async with WireServer() as server:
        yield socket.AF_INET, ("127.0.0.1", server.port)


@asynccontextmanager
async def raw(_: Path) -> AsyncGenerator[Address]:
    """Run the tests' own server of anything."""

    async def wait(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(wait) as port:
        yield socket.AF_INET, ("127.0.0.1", port)


async def is_left(client: socket.socket) -> bool:
    """Return whether the other side closes a connection, or refuses it, within some seconds."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(5):
            while await loop.sock_recv(client, 4096):
                pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


@pytest.mark.parametrize("turns", range(7))
@pytest.mark.parametrize("server", [control, provider, wire, raw])
async def test_who_is_let_in_when_a_server_stops_is_closed(
    server: Callable[[Path], AbstractAsyncContextManager[Address]], turns: int, tmp_path: Path
) -> None:
    async with server(tmp_path) as (family, address):
        client = socket.socket(family)
        client.setblocking(False)
        client.connect_ex(address)
        for _ in range(turns):
            await asyncio.sleep(0)
    with client:
        assert await is_left(client)


async def test_a_handshake_that_ends_after_the_provider_is_answered_nothing() -> None:
    async with FakeProvider("late", tls=True) as fake:
        port, trusted = int(fake.base_url.rsplit(":", 1)[1].partition("/")[0]), fake.trusted
        client = socket.socket()
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
        for _ in range(7):
            await asyncio.sleep(0)
    async with asyncio.timeout(10):
        said = b""
        with suppress(OSError):
            reader, writer = await asyncio.open_connection(sock=client, ssl=trusted, server_hostname="127.0.0.1")
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
            said = await reader.read()
            writer.close()
    client.close()
    assert said == b""


async def test_a_server_that_is_closed_already_is_left_as_it_is() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    server.close()
    await stop_listening(server)
    assert not server.is_serving()
