"""The endpoints of a soak: fake providers in a process of their own, so that the memory here is the client's alone.

`python -m benchmarks.soak.endpoints COUNT` prints their URLs as one line of JSON, answers every line of its standard
input (`Told`) by one of its output, and ends when the input does.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from benchmarks.soak.stops import STOPS
from benchmarks.soak.weather import FINE, Weather, asked_in, fault_of, reply_to
from loomwire.testing import FakeProvider, Fault, ReceivedRequest, Reply
from loomwire.testing.queued import After

_ROOT = Path(__file__).resolve().parents[2]


class Told(msgspec.Struct, frozen=True):
    """A word to the endpoints.

    Attributes:
        weather: What those named do from now on.
        fresh: Forget the largest number of requests in flight.
    """

    weather: Mapping[str, Weather] = {}
    fresh: bool = False


class Counted(msgspec.Struct, frozen=True):
    """What an endpoint has seen so far.

    Attributes:
        requests: Requests received.
        most: The largest number of them in flight at once.
        open_connections: Connections that are open now.
        input_tokens: What was billed.
        output_tokens: What was billed.
        faults: How often which fault was played.
        stopped_s: For how long they stood still at most, because the machine did.
    """

    requests: int
    most: int
    open_connections: int
    input_tokens: int
    output_tokens: int
    faults: Mapping[str, int]
    stopped_s: float


class Endpoint:
    """Answers every question rightly or in the weather's way.

    Args:
        seed: Of its chances.
    """

    def __init__(self, seed: int) -> None:
        """Begin with fine weather."""
        self.weather = FINE
        self.most = 0
        self._in_flight = 0
        self._chance = random.Random(seed)

    def __call__(self, request: ReceivedRequest) -> Reply | Fault | After:
        """Return what to play."""
        self._in_flight += 1
        self.most = max(self.most, self._in_flight)
        weather, right = self.weather, reply_to(asked_in(request))
        faults = weather.streamed if request.stream else weather.plain
        if not faults or self._chance.random() >= weather.share:
            return replace(right, delay_s=weather.delay_s)
        fault = fault_of(self._chance.choice(faults), right)
        return After(weather.delay_s, fault) if weather.delay_s else fault

    def ended(self, _request: ReceivedRequest, /) -> None:
        """Count a request off."""
        self._in_flight -= 1

    def fresh(self) -> None:
        """Forget the largest number of requests in flight."""
        self.most = self._in_flight


class Endpoints:
    """The endpoints, seen from the soak.

    Args:
        process: Where they are.
        urls: Where they listen.
    """

    def __init__(self, process: asyncio.subprocess.Process, urls: Sequence[str]) -> None:
        """Talk to a process that is running."""
        self._process = process
        self.urls = urls

    async def become(self, *weathers: Weather) -> Sequence[Counted]:
        """Change the weather: one for all, or one for each; return what was seen so far."""
        each = weathers * len(self.urls) if len(weathers) == 1 else weathers
        return await self._say(Told({str(number): weather for number, weather in enumerate(each)}))

    async def counted(self, *, fresh: bool = False) -> Sequence[Counted]:
        """Return what was seen so far."""
        return await self._say(Told(fresh=fresh))

    async def _say(self, told: Told) -> Sequence[Counted]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(told) + b"\n")
        counted = msgspec.json.decode(await self._process.stdout.readline(), type=list[Counted])
        STOPS.note(max(one.stopped_s for one in counted))
        return counted


@asynccontextmanager
async def endpoints(count: int = 3) -> AsyncGenerator[Endpoints]:
    """Run so many endpoints; the weather is fine."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.soak.endpoints",
        str(count),
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        servers = Endpoints(process, msgspec.json.decode(await process.stdout.readline(), type=list[str]))
        yield servers
        await servers.counted()
    finally:
        process.stdin.close()
        await process.wait()


async def serve(count: int) -> None:
    """Serve until standard input ends."""
    served = [Endpoint(seed) for seed in range(count)]
    async with AsyncExitStack() as stack:
        fakes = [await stack.enter_async_context(FakeProvider(then=one, keep=1)) for one in served]
        for fake, one in zip(fakes, served, strict=True):
            fake.listen(one.ended)
        stack.enter_context(STOPS.watching())
        print(msgspec.json.encode([fake.base_url for fake in fakes]).decode(), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            told = msgspec.json.decode(line, type=Told)
            for number, weather in told.weather.items():
                served[int(number)].weather = weather
            counted = [_counted(fake, one) for fake, one in zip(fakes, served, strict=True)]
            for one in served if told.fresh else ():
                one.fresh()
            print(msgspec.json.encode(counted).decode(), flush=True)


def _counted(fake: FakeProvider, one: Endpoint) -> Counted:
    stats, billed = fake.stats, fake.books.overall.usage
    return Counted(
        stats.requests,
        one.most,
        stats.open_connections,
        billed.input_tokens,
        billed.output_tokens,
        fake.faults,
        STOPS.longest_s,
    )


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
