"""A storm of rate limits in simulated time, and how evenly what comes after it arrives."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace

from typing_extensions import override

from loomwire.domain.errors import LLMError, LLMRateLimitError
from loomwire.domain.policies import RetryPolicy
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.requests import Bound, LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.testing import FakeClock
from support.chains import HI
from support.retrying import retrying

# What providers were seen to say, nonsense included; a date is what is left until the limit's reset.
ODD = (math.nan, -1.0, 1e308, math.inf, 0.0)
RESET_S = 30.0


@dataclass
class Storm(ILLMClient):
    """Limits the pace until its reset, each time with another wait; keeps who came when, and what they were told.

    Args:
        clock: The time.
        chance: Draws the waits.
    """

    clock: FakeClock
    chance: random.Random
    came: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    named: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        now, who = self.clock.now(), request.session or ""
        self.came[who].append(now)
        if now >= RESET_S:
            return LLMResponse("ok", "ok", "vendor", "m")
        kind = self.chance.randrange(4)
        wait = RESET_S - now if kind == 0 else self.chance.choice(ODD) if kind == 1 else self.chance.uniform(0.5, 30.0)
        self.named[who].append(wait)
        raise LLMRateLimitError("slow down", retry_after=wait)

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        raise NotImplementedError


@dataclass(frozen=True)
class Weathered:
    """How the calls of a storm ended."""

    answered: int
    failed: int
    early: int
    late: int
    sends: int


async def weathered(calls: int, seed: int, deadline_s: float = 25.0) -> Weathered:
    """Let calls come over a minute, each with its deadline, while the first half of it is a storm."""
    clock, chance = FakeClock(), random.Random(seed)
    storm = Storm(clock, chance)
    client = retrying(storm, clock, RetryPolicy(), draw=chance.random)

    async def call(number: int, at: float) -> LLMResponse[str] | LLMError:
        await clock.sleep(at)
        request = replace(HI, session=str(number), bound=Bound(clock.now() + deadline_s))
        try:
            return await client.generate(request)
        except LLMError as error:
            return error

    starts = [chance.uniform(0.0, 60.0) for _ in range(calls)]
    tasks = [asyncio.create_task(call(number, at)) for number, at in enumerate(starts)]
    await clock.advance(60.0 + deadline_s)
    ends = [task.result() for task in tasks]
    gaps = [
        (after - before, wait)
        for who, times in storm.came.items()
        for before, after, wait in zip(times, times[1:], storm.named[who], strict=False)
    ]
    return Weathered(
        answered=sum(isinstance(end, LLMResponse) for end in ends),
        failed=sum(isinstance(end, LLMRateLimitError) for end in ends),
        early=sum(wait > 0 and gap < wait - 1e-9 for gap, wait in gaps),
        late=sum(at > starts[int(who)] + deadline_s - 0.25 + 1e-9 for who, times in storm.came.items() for at in times),
        sends=sum(map(len, storm.came.values())),
    )


def crowding(arrivals: Iterable[float]) -> float:
    """Return the busiest 100 ms over the mean of all of them, from the first arrival to the last."""
    buckets = Counter(int(at * 10) for at in arrivals)
    span = max(buckets) - min(buckets) + 1
    return max(buckets.values()) / (buckets.total() / span)


def returns(asked: Iterable[tuple[float, float | None]], wait: Callable[[float | None], float]) -> list[float]:
    """Return when those come back who were told a wait at an instant."""
    return [at + wait(named) for at, named in asked]
