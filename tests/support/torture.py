"""Torture by cancellation: many streams at once, each cancelled or left at a point that a seed draws."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from loomwire.domain.errors import LoomError
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.requests import LLMRequest

Point: TypeAlias = Literal["turns", "time", "event", "end", "twice", "leave", "never"]
"""Where a stream is given up: after some turns of the loop (before it connects), after some milliseconds (at any
await), at one of its events, at its end, twice while it unwinds, by walking away, or not at all."""

_POINTS: Final[tuple[Point, ...]] = ("turns", "time", "time", "event", "event", "end", "twice", "leave", "never")
_DESCRIPTORS: Final = Path("/proc/self/fd")


@dataclass(frozen=True, slots=True)
class Tortured:
    """How the streams of one torture ended.

    Attributes:
        ends: Counts by `cancelled`, `left` and `finished`.
        errors: Every error of loomwire; the server is healthy, so there should be none.
        points: How many streams were given up where.
    """

    ends: Mapping[str, int]
    errors: tuple[LoomError, ...]
    points: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a process holds: to be taken before and compared afterwards.

    Attributes:
        descriptors: Open files and sockets; 0 where the system does not tell.
        tasks: Tasks of the running loop.
    """

    descriptors: int
    tasks: int

    @classmethod
    def now(cls) -> Baseline:
        """Count."""
        open_now = len(list(_DESCRIPTORS.iterdir())) if _DESCRIPTORS.exists() else 0
        return cls(open_now, len(asyncio.all_tasks()))

    async def returns(self, within_s: float = 5.0) -> Baseline:
        """Wait until no more is held than was, and return what is held then, or at the end of the patience."""
        now = Baseline.now()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while now.descriptors > self.descriptors or now.tasks > self.tasks:
                    await asyncio.sleep(0.01)
                    now = Baseline.now()
        return now


async def torture(
    client: ILLMClient, count: int, *, seed: int = 0, at_once: int = 100, longest_s: float = 0.02, events: int = 12
) -> Tortured:
    """Open `count` streams and give each up at a random point.

    Args:
        client: Any client; its server should need about `longest_s` for an answer.
        count: Streams in all.
        seed: Of the points; the order in which tasks run is the machine's.
        at_once: Streams at the same time.
        longest_s: The latest time of a cancellation by time.
        events: The latest event of a cancellation by event.
    """
    dice = random.Random(seed)
    ends: Counter[str] = Counter()
    errors: list[LoomError] = []
    points: Counter[str] = Counter()
    drawn: list[tuple[Point, float]] = [(dice.choice(_POINTS), dice.random()) for _ in range(count)]
    plans = iter(drawn)

    async def worker() -> None:
        for point, share in plans:
            points[point] += 1
            try:
                ends[await _one(client, point, share, longest_s, events)] += 1
            except LoomError as error:
                errors.append(error)

    await asyncio.gather(*(worker() for _ in range(min(at_once, count))))
    return Tortured(ends, tuple(errors), points)


async def fresh_calls(client: ILLMClient, count: int = 20) -> int:
    """Return how many of so many plain calls at once are answered; they show that the pool is usable."""
    asked = (client.generate(LLMRequest.of(f"fresh {number}", deadline_s=10)) for number in range(count))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    return sum(not isinstance(answer, BaseException) for answer in answers)


async def _one(client: ILLMClient, point: Point, share: float, longest_s: float, events: int) -> str:
    last = round(share * events)
    task = asyncio.create_task(_read(client, point, last))
    if point in ("turns", "twice"):
        for _ in range(last):
            await asyncio.sleep(0)
    elif point == "time":
        await asyncio.wait([task], timeout=share * longest_s)
    if point in ("turns", "twice", "time"):
        task.cancel()
    if point == "twice":
        await asyncio.sleep(0)
        task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        return "cancelled"


async def _read(client: ILLMClient, point: Point, last: int) -> str:
    seen = 0
    async with client.stream(LLMRequest.of("Tell me about weaving.", deadline_s=30)) as stream:
        async for _ in stream:
            seen += 1
            if seen >= last and point == "leave":
                return "left"
            if seen >= last and point == "event":
                _cancel_me()
        if point == "end":
            _cancel_me()
            await asyncio.sleep(0)
    return "finished"


def _cancel_me() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.cancel()
