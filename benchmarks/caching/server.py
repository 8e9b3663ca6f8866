"""The server of the cache benchmark, in a process of its own.

    python -m benchmarks.caching.server CORE

Prints its address; after each line that it reads, how many calls it has had since the one before.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.caching.workload import LATENCY_S
from benchmarks.machine import pin
from benchmarks.payloads import ANSWER
from benchmarks.runs import ROOT, BenchmarkError
from loomwire.testing import FakeProvider, ReceivedRequest, Reply

FAST = "fast"
"""The model that answers at once."""


class Server:
    """The running server.

    Attributes:
        url: Its address, with the path of OpenAI's API.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Read its address."""
        self._process = process
        self.url = self._line()

    def sent(self) -> int:
        """Return how many calls it has had since this was asked last."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise BenchmarkError("the server of the cache benchmark did not start")
        return line


@contextmanager
def serving(core: int) -> Iterator[Server]:
    """Run the server until the block is left."""
    argv = [sys.executable, "-m", "benchmarks.caching.server", str(core)]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Server(process)
        finally:
            process.kill()


async def serve(core: int) -> None:
    """Serve until the input ends."""
    pin(core)
    calls = 0

    def says(request: ReceivedRequest) -> Reply:
        nonlocal calls
        calls += 1
        return Reply(ANSWER, delay_s=0.0 if request.model == FAST else LATENCY_S)

    async with FakeProvider(then=says, keep=10) as provider:
        print(provider.base_url, flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(calls, flush=True)
            calls = 0


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
