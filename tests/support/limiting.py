"""Lanes under torture: waiters that are cancelled wherever a seed draws, and who waited how long."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from loomwire.application.state.pacing.lane import Lane
from loomwire.application.state.pacing.statistics import LaneStatistics
from loomwire.domain.errors import LLMTimeoutError
from loomwire.domain.policies import RatePolicy
from loomwire.testing import FakeClock

_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Leaked:
    """What is left of a lane after its waiters were cancelled.

    Attributes:
        ends: How the calls ended: `cancelled`, `late` or `served`.
        statistics: What the lane says of itself; nothing should be in use or waiting.
        charged: Requests and tokens that count in the last minute.
        served: Requests and tokens that were really sent.
    """

    ends: Mapping[str, int]
    statistics: LaneStatistics
    charged: tuple[int, int]
    served: tuple[int, int]


async def cancelled_waiters(count: int, seed: int = 0) -> Leaked:
    """Put calls before a narrow lane and cancel them at random turns: in line, while served, once served, twice.

    Args:
        count: How many calls.
        seed: Of the random numbers.
    """
    draw, clock = random.Random(seed), FakeClock()
    lane = Lane(RatePolicy(rpm=10**8, tpm=10**10, concurrency=3, burst_s=60), clock)
    ends: Counter[str] = Counter()
    served = [0, 0]

    async def call(tokens: int, turns: int, until: float) -> None:
        grant = lane.take(tokens)
        if grant is None:
            grant = await lane.wait(tokens, until=until, urgency=tokens % 3)
        try:
            # Short, so that all of it happens within the minute that the lane remembers.
            await clock.sleep(turns * 1e-4)
            grant.spent = tokens // 2
        finally:
            served[0] += 1
            served[1] += tokens if grant.spent is None else grant.spent
            lane.give_back(grant)

    for _ in range(-(-count // _AT_ONCE)):
        calls = []
        for _ in range(_AT_ONCE):
            until = clock.now() + draw.choice([5e-4, 1e6])
            calls.append(asyncio.create_task(call(draw.randrange(1, 99), draw.randrange(4), until)))
        for task in draw.sample(calls, _AT_ONCE // 2):
            for _ in range(draw.randrange(3)):
                await asyncio.sleep(0)
            task.cancel()
            if draw.random() < 0.2:
                task.cancel()
        while not all(task.done() for task in calls):
            await clock.advance(3e-4)
        for task in calls:
            with suppress(asyncio.CancelledError, LLMTimeoutError):
                await task
            ends["cancelled" if task.cancelled() else "late" if task.exception() else "served"] += 1
    statistics = lane.statistics()
    return Leaked(ends, statistics, (statistics.requests, statistics.tokens), (served[0], served[1]))
