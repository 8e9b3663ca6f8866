"""How fast the fake provider is: the server on a core of its own, driven from the other by bare sockets.

    python -m benchmarks.fake_provider [--seconds S] [--connections N] [--only NAME]

Prints plain calls and streamed chunks per second for the server as it is, with a script of rules that do not decide,
and with rules that do; of the wall, and of the server's CPU, which a busy machine changes less. The bar is 5,000 plain
calls a second on one core; nothing fails when it is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import psutil

from benchmarks.machine import pin, server_and_client_core
from loomwire.domain.values import JSON
from loomwire.testing import FakeProvider

_STREAMED: Final = " ".join(["word"] * 100)
_CHUNKS: Final = 103
_RULES: Final[JSON] = [
    {"path": "*/embeddings", "error": "server"},
    {"model": "other-*", "requests": "1-3", "fault": "hang"},
    {"every": 1_000_000_000, "status": 503},
    {"chance": 0, "fault": ["cut_reset", "hang"]},
]
_SERVERS: Final[Mapping[str, Mapping[str, JSON]]] = {
    "plain": {},
    "four rules": {"rules": _RULES},
    "429 by rule": {"rules": [{"path": "*/chat/completions", "error": "throttled", "retry_after": 1}]},
    "key and models": {"api_key": "test-key", "models": ["m"]},
}


@dataclass(slots=True)
class Measured:
    """What one run gave: calls per second of the wall and of the server's CPU, and bytes of an answer."""

    calls: float
    calls_per_cpu: float
    size: int


def main(arguments: Sequence[str]) -> int:
    """Measure and print; with `serve NAME` be the server."""
    if arguments[:1] == ["serve"]:
        asyncio.run(_serve(arguments[1], int(arguments[2])))
        return 0
    parser = argparse.ArgumentParser(description="How fast the fake provider is.")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--only", choices=sorted(_SERVERS), default=None)
    words = parser.parse_args(arguments)
    seconds: float = words.seconds
    count: int = words.connections
    server_core, client_core = server_and_client_core()
    pin(client_core)
    print(f"{count} connections, {seconds:g} s each, server on core {server_core}, client on core {client_core}")
    for name in [words.only] if words.only else _SERVERS:
        for stream in (False, True):
            got = _against(name, server_core, _request(stream=stream), count, seconds)
            streams = stream and got.size > 5_000
            chunks = f"{got.calls_per_cpu * _CHUNKS:11,.0f} chunks/s of CPU" if streams else ""
            what = "stream" if stream else "plain"
            print(f"{name:16} {what:6} {got.calls:9,.0f} calls/s {got.calls_per_cpu:9,.0f} calls/s of CPU {chunks}")
    return 0


async def _serve(name: str, core: int) -> None:
    pin(core if core >= 0 else None)
    async with FakeProvider(then=_STREAMED, script=_SERVERS[name], keep=1_000) as provider:
        print(provider.port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def _request(*, stream: bool) -> bytes:
    message: JSON = {"role": "user", "content": "How fast are you? " * 10}
    body = json.dumps({"model": "m", "messages": [message], "stream": stream}).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer test-key\r\n"
    return f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def _against(name: str, core: int | None, request: bytes, count: int, seconds: float) -> Measured:
    command = [sys.executable, "-m", "benchmarks.fake_provider", "serve", name, str(-1 if core is None else core)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        port = int(server.stdout.readline())
        try:
            return _drive(psutil.Process(server.pid), port, request, count, seconds)
        finally:
            server.stdin.close()


def _drive(server: psutil.Process, port: int, request: bytes, count: int, seconds: float) -> Measured:
    """Keep one request under way on each connection; answers are told apart by their size, which never changes."""
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    size = _size(sockets[0], request)
    selector = selectors.DefaultSelector()
    missing = dict.fromkeys(sockets, size)
    for each in sockets:
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(each, selectors.EVENT_READ)
        each.sendall(request)
    done, began, cpu_before = 0, time.perf_counter(), sum(server.cpu_times()[:2])
    ends = began + seconds
    while (now := time.perf_counter()) < ends:
        for key, _ in selector.select(1):
            ready = key.fileobj
            assert isinstance(ready, socket.socket)
            missing[ready] -= len(ready.recv(1 << 18))
            if missing[ready] == 0:
                missing[ready] = size
                done += 1
                ready.sendall(request)
    for each in sockets:
        each.close()
    return Measured(done / (now - began), done / (sum(server.cpu_times()[:2]) - cpu_before), size)


def _size(each: socket.socket, request: bytes) -> int:
    """Return the size of one answer."""
    each.sendall(request)
    each.settimeout(0.3)
    data = b""
    while True:
        try:
            data += each.recv(1 << 18)
        except TimeoutError:
            each.settimeout(None)
            return len(data)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
