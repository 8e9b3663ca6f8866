"""A little Redis on a loopback socket and a thread of its own, which can also be slow, broken or rude."""

from __future__ import annotations

import asyncio
import fnmatch
import re
import ssl
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, TypeAlias

Reply: TypeAlias = bytes

OK: Final[Reply] = b"+OK\r\n"
NIL: Final[Reply] = b"$-1\r\n"


def text(value: bytes | None) -> Reply:
    """Return a text, or nothing, as an answer."""
    return NIL if value is None else b"$%d\r\n%b\r\n" % (len(value), value)


def many(replies: Sequence[Reply]) -> Reply:
    """Return several answers as one."""
    return b"*%d\r\n%b" % (len(replies), b"".join(replies))


class FakeRedis:
    """What is stored, and how the server behaves.

    Attributes:
        data: Values by key; other types as anything but bytes.
        until: When keys end, by `now`.
        now: Its clock, in seconds.
        asked: Every command that came, without what redis-py says of itself.
        spoil: Makes another answer of the right one; b"" is silence for ever, None closes the connection.
        refuse: Errors by command: what stands after the minus sign.
        connections: How many were opened.
        port: Where it listens.
    """

    def __init__(self) -> None:
        """Hold nothing."""
        self.data: dict[bytes, bytes | list[bytes]] = {}
        self.until: dict[bytes, float] = {}
        self.now: Callable[[], float] = time.monotonic
        self.asked: list[tuple[bytes, ...]] = []
        self.spoil: Callable[[Reply], Reply | None] | None = None
        self.refuse: dict[bytes, str] = {}
        self.connections = 0
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()

    @property
    def url(self) -> str:
        """Where it is, with a password."""
        return f"redis://:hunter2-secret@127.0.0.1:{self.port}/0"

    def hang_up(self) -> None:
        """Close every connection, as a server does that starts anew."""
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result()

    async def _hang_up(self) -> None:
        for writer in tuple(self._writers):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while (reply := self._reply(await _command(reader))) is not None:
                writer.write(reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def _reply(self, command: tuple[bytes, ...]) -> Reply | None:
        name = command[0].upper()
        if name in {b"AUTH", b"SELECT", b"CLIENT"}:
            return f"-{self.refuse[name]}\r\n".encode() if name in self.refuse else OK
        self.asked.append(command)
        right = f"-{self.refuse[name]}\r\n".encode() if name in self.refuse else _DOES[name](self, command[1:])
        return right if self.spoil is None else self.spoil(right)

    def _value(self, key: bytes) -> bytes | list[bytes] | None:
        now = self.now()
        if self.until.get(key, now + 1) <= now:
            self.data.pop(key, None)
            del self.until[key]
        return self.data.get(key)

    def _mget(self, keys: tuple[bytes, ...]) -> Reply:
        values = [self._value(key) for key in keys]
        return many([text(value if isinstance(value, bytes) else None) for value in values])

    def _set(self, words: tuple[bytes, ...]) -> Reply:
        key, value, *options = words
        if b"NX" in options and self._value(key) is not None:
            return NIL
        self.data[key] = value
        self.until.pop(key, None)
        if b"PX" in options:
            self.until[key] = self.now() + int(options[1]) / 1000
        return OK

    def _unlink(self, keys: tuple[bytes, ...]) -> Reply:
        return b":%d\r\n" % sum(self.data.pop(key, None) is not None for key in keys)

    def _scan(self, words: tuple[bytes, ...]) -> Reply:
        at, pattern = int(words[0]), re.sub(rb"\\(.)", rb"[\1]", words[2])
        keys = sorted(self.data)
        found = [text(key) for key in keys[at : at + 10] if fnmatch.fnmatchcase(key, pattern)]
        return many([text(b"%d" % (at + 10 if at + 10 < len(keys) else 0)), many(found)])


_DOES: Final[Mapping[bytes, Callable[[FakeRedis, tuple[bytes, ...]], Reply]]] = {
    b"MGET": FakeRedis._mget,
    b"SET": FakeRedis._set,
    b"UNLINK": FakeRedis._unlink,
    b"SCAN": FakeRedis._scan,
}


async def _command(reader: asyncio.StreamReader) -> tuple[bytes, ...]:
    words = int((await reader.readuntil(b"\r\n"))[1:])
    return tuple([await _word(reader) for _ in range(words)])


async def _word(reader: asyncio.StreamReader) -> bytes:
    size = int((await reader.readuntil(b"\r\n"))[1:])
    return (await reader.readexactly(size + 2))[:-2]


@contextmanager
def fake_redis(tls: ssl.SSLContext | None = None) -> Generator[FakeRedis]:
    """Run a little Redis until the end of the block, with TLS or without."""
    fake = FakeRedis()
    began = threading.Event()

    async def run() -> None:
        ended.append(asyncio.Event())
        async with await asyncio.start_server(fake._serve, "127.0.0.1", 0, ssl=tls) as server:
            fake.port = server.sockets[0].getsockname()[1]
            began.set()
            await ended[0].wait()
            await fake._hang_up()

    def serve() -> None:
        with asyncio.Runner(loop_factory=lambda: fake._loop) as runner:
            runner.run(run())

    ended: list[asyncio.Event] = []
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert began.wait(5)
    try:
        yield fake
    finally:
        fake._loop.call_soon_threadsafe(ended[0].set)
        thread.join(5)
