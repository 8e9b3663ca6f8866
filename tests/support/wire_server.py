"""A loopback server that plays whatever bytes a test wants, misbehaviour first of all, and a call to it."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Self, TypeAlias

from loomwire.domain.policies import TransportPolicy
from loomwire.domain.ports.pool import IConnectionPool, WireRequest
from loomwire.infrastructure.control.listening import stop_listening

LOCAL = TransportPolicy(allow_private=True)
"""What a test needs to talk to a loopback server."""


@dataclass
class Exchange:
    """One request as it came, and the means to answer it with bytes.

    Attributes:
        head: Request line and headers.
        body: The request's body.
        connection: Which connection of the server carries it, from 1.
        number: Which request of the server it is, from 1.
    """

    head: bytes
    body: bytes
    connection: int
    number: int
    writer: asyncio.StreamWriter = field(repr=False)
    ended: bool = False

    @property
    def path(self) -> str:
        """The request's target."""
        return self.head.split(b" ", 2)[1].decode()

    def header(self, name: str) -> str | None:
        """Return a request header, or None."""
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.decode().lower() == name.lower():
                return value.strip().decode()
        return None

    async def send(self, *parts: bytes) -> None:
        """Send bytes as they are, each part as its own write."""
        for part in parts:
            self.writer.write(part)
            with suppress(ConnectionError):
                await self.writer.drain()

    async def answer(self, body: bytes = b"{}", status: int = 200, **headers: str) -> None:
        """Send a proper answer; underscores in header names become hyphens."""
        await self.send(answer(body, status, **headers))

    async def start_chunks(self, **headers: str) -> None:
        """Begin a chunked answer."""
        lines = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked", **_named(headers)}
        await self.send(_head(200, lines))

    async def chunk(self, data: bytes) -> None:
        """Send one chunk; b"" ends the answer."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        """Close the connection after what was sent."""
        self.ended = True

    def reset(self) -> None:
        """Break the connection with RST; what is not delivered yet is lost."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        self.ended = True


Play: TypeAlias = Callable[[Exchange], Awaitable[None]]


def answer(body: bytes = b"{}", status: int = 200, **headers: str) -> bytes:
    """Return a proper answer with a length."""
    lines = {"Content-Type": "application/json", "Content-Length": str(len(body)), **_named(headers)}
    return _head(status, lines) + body


async def echo(exchange: Exchange) -> None:
    """Answer with the request's own body."""
    await exchange.answer(exchange.body)


class WireServer:
    """Plays one script for every request, on a free port of 127.0.0.1, until the context ends.

    Args:
        play: Called with each request; it may send anything.
        tls: Speak TLS with this context.

    Attributes:
        seen: Every request so far.
        connections: Connections accepted so far.
    """

    def __init__(self, play: Play = echo, tls: ssl.SSLContext | None = None) -> None:
        self._play = play
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.seen: list[Exchange] = []
        self.connections = 0
        self.port = 0
        self._readers: set[asyncio.StreamReader] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            await stop_listening(self._server)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def base_url(self) -> str:
        """Where it listens, by address."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """Connections that neither side has closed."""
        return sum(not reader.at_eof() and reader.exception() is None for reader in self._readers)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A task that is cancelled before its first step closes nothing.
        task.add_done_callback(lambda _: writer.close())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._readers.add(reader)
        connection = self.connections
        try:
            while not reader.at_eof():
                exchange = await self._read(reader, writer, connection)
                await self._play(exchange)
                if exchange.ended:
                    break
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        except asyncio.CancelledError:
            # A client that does not read would keep a polite close waiting for ever.
            writer.transport.abort()
            raise
        finally:
            self._readers.discard(reader)
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> Exchange:
        head = await reader.readuntil(b"\r\n\r\n")
        exchange = Exchange(head, b"", connection, len(self.seen) + 1, writer)
        length = exchange.header("Content-Length")
        if length is not None:
            exchange.body = await reader.readexactly(int(length))
        self.seen.append(exchange)
        return exchange


@asynccontextmanager
async def raw_server(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """Serve connections that need not be HTTP; yields the port, and closes every connection at the end."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(lambda _: writer.close())

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, limit=1024)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        await stop_listening(listener)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def served_by_thread(play: Play = echo) -> Iterator[WireServer]:
    """Run a server on a loop and thread of its own, for tests that bring their own loops."""
    ready = threading.Event()
    server = WireServer(play)
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def run() -> None:
        async with server:
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        ready.wait(5)
        yield server
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(5)
        loop.close()


async def ask(
    pool: IConnectionPool, base_url: str, body: bytes = b"{}", policy: TransportPolicy = LOCAL, path: str = "/chat"
) -> bytes:
    """Send one request and return the whole answer."""
    lease = await pool.acquire(base_url, policy)
    try:
        answer = await lease.send(WireRequest(path, (), body))
        try:
            return await answer.read()
        finally:
            answer.close()
    finally:
        pool.release(lease)


async def eventually(check: Callable[[], bool]) -> None:
    """Wait until something holds that the other side does in its own time; five seconds at most."""
    for _ in range(1000):
        if check():
            return
        await asyncio.sleep(0.005)
    assert check()


def run_script(script: str, *arguments: str, options: Sequence[str] = ()) -> list[str]:
    """Run Python in a process of its own, where forks and measurements harm nobody.

    Args:
        script: The program.
        *arguments: Its arguments.
        options: Python's own options.

    Returns:
        Its lines of output; what it says on the error stream fails the test.
    """
    run = subprocess.run(
        [sys.executable, *options, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=18,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, ""), run.stderr
    return run.stdout.splitlines()


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def _head(status: int, lines: dict[str, str]) -> bytes:
    text = f"HTTP/1.1 {status} X\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{text}\r\n".encode()
