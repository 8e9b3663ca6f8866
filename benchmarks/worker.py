"""One measurement of one client in a process of its own: `python -m benchmarks.worker '{...}'` prints figures.

The process holds one client and nothing of the others, so imports, memory and garbage are its own. What is asked is
checked: a client that loses a chunk gets no figures.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from benchmarks.clients.adapter import Adapter, ClientName, open_adapter
from benchmarks.machine import pin
from benchmarks.payloads import ANSWER, STREAMS

Figures: TypeAlias = dict[str, float]
"""Seconds per call or chunk, bytes per call, shares: whatever the measurement's name says."""

WARM_UP = 40
AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is to do.

    Attributes:
        client: Which client; measurements of our inside take ours only.
        measure: A name of `MEASURES` or of `benchmarks.inside.MEASURES`.
        port: Where the server listens.
        count: How many calls are measured.
        core: The core to stay on, or None.
    """

    client: ClientName
    measure: str
    port: int
    count: int
    core: int | None = None


class Clock:
    """Seconds of the CPU and of the wall since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def per(self, count: int) -> Figures:
        """Return both, divided by a number of calls."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        return {"cpu": cpu / count, "wall": wall / count}


def must_be(got: object, wanted: object) -> None:
    """Refuse to go on with a client that did not do the work."""
    if got != wanted:
        raise SystemExit(f"benchmark: the client answered {got!r:.200}, not {wanted!r:.200}")


def settled() -> Clock:
    """Start the clock after a full collection, so that no call pays for what start-up left to the collector."""
    gc.collect()
    return Clock()


async def one_after_the_other(ask: Callable[[], Awaitable[str]], count: int) -> Figures:
    """Measure sequential calls."""
    for _ in range(WARM_UP):
        must_be(await ask(), ANSWER)
    clock = settled()
    for _ in range(count):
        await ask()
    return clock.per(count)


async def sequential(adapter: Adapter, count: int) -> Figures:
    """Small calls, one after the other."""
    return await one_after_the_other(adapter.ask, count)


async def history(adapter: Adapter, count: int) -> Figures:
    """Calls with 40 messages and 20 tools, one after the other."""
    return await one_after_the_other(adapter.ask_long, count)


async def concurrent(adapter: Adapter, count: int) -> Figures:
    """Small calls, 64 at once."""

    async def some(calls: int) -> None:
        for _ in range(calls):
            must_be(await adapter.ask(), ANSWER)

    async def all_at_once(calls: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(some(calls))

    await all_at_once(2)
    each = max(count // AT_ONCE, 1)
    clock = settled()
    await all_at_once(each)
    return clock.per(each * AT_ONCE)


async def burst(adapter: Adapter, count: int) -> Figures:
    """Bursts of 64 calls with nothing in between, as a workflow fans out: who keeps the connections for the next?"""

    async def together() -> None:
        for text in await asyncio.gather(*(adapter.ask() for _ in range(AT_ONCE))):
            must_be(text, ANSWER)

    await together()
    bursts = max(count // AT_ONCE, 1)
    clock = settled()
    for _ in range(bursts):
        await together()
    return clock.per(bursts * AT_ONCE)


async def chunk_of(adapter: Adapter, count: int, short: str, long: str) -> Figures:
    """Measure a chunk: a long stream minus a short one, so that what a call costs cancels out."""
    lengths = {route: STREAMS[route][0] for route in (short, long)}
    spent = dict.fromkeys(lengths, 0.0)
    for _ in range(2):
        for route, length in lengths.items():
            must_be((await adapter.read(route)).texts, length)
    gc.collect()
    for _ in range(count):
        for route in lengths:
            clock = Clock()
            await adapter.read(route)
            spent[route] += clock.per(1)["cpu"]
    return {"cpu": (spent[long] - spent[short]) / count / (lengths[long] - lengths[short])}


async def chunk(adapter: Adapter, count: int) -> Figures:
    """A chunk of a stream that the server sends in one piece: framing and decoding alone."""
    return await chunk_of(adapter, count, "short", "long")


async def slow_chunk(adapter: Adapter, count: int) -> Figures:
    """A chunk of a stream that comes chunk by chunk, as models send it: one wake-up of the loop each."""
    return await chunk_of(adapter, count, "slow-short", "slow-long")


async def first(adapter: Adapter, count: int) -> Figures:
    """The time from asking to the first event with text, while the rest is still to come."""
    times = []
    for number in range(count + WARM_UP // 4):
        began = time.perf_counter()
        reading = await adapter.read("first")
        must_be(reading.texts, STREAMS["first"][0])
        if number >= WARM_UP // 4:
            times.append(reading.first_at - began)
    return {"wall": statistics.median(times)}


Measure: TypeAlias = Callable[[Adapter, int], Awaitable[Figures]]
MEASURES: Mapping[str, Measure] = {
    "sequential": sequential,
    "concurrent": concurrent,
    "burst": burst,
    "history": history,
    "chunk": chunk,
    "slow_chunk": slow_chunk,
    "first": first,
}


async def measured(task: Task) -> Figures:
    """Open the client, measure, close."""
    measure = MEASURES.get(task.measure)
    if measure is None:
        from benchmarks.inside import MEASURES as INSIDE

        return await INSIDE[task.measure](task.port, task.count)
    async with open_adapter(task.client, task.port) as adapter:
        return await measure(adapter, task.count)


def main() -> None:
    """Do the task in the first argument and print its figures as JSON."""
    task = Task(**json.loads(sys.argv[1]))
    pin(task.core)
    print(json.dumps(asyncio.run(measured(task))))


if __name__ == "__main__":
    main()
