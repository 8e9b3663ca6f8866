"""A storm of rate limits, in simulated time: nobody comes early, nobody too late, and nobody all at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from typing_extensions import override

from benchmarks.soak.chain import CLIENT, configuration, opened
from benchmarks.soak.figures import Measured
from loomwire import ILLMClient, ILLMClientFactory, LLMConfig, LLMRequest
from loomwire.domain.errors import LLMError
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import JSON
from loomwire.testing import FakeClock
from support.storms import RESET_S, Storm, crowding

DEADLINE_S: Final = 25.0
_OVER_S: Final = 60.0
_MIN_ATTEMPT_S: Final = 0.25
_ENOUGH: Final = 1000
_HI: Final = LLMRequest.of("hi")
_BASE: Final[Mapping[str, JSON]] = {"timeouts": {"total": DEADLINE_S, "min_attempt": _MIN_ATTEMPT_S}}


class _Storms(ILLMClientFactory):
    """Every target is the storm."""

    def __init__(self, storm: Storm) -> None:
        self._storm = storm

    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        return self._storm


async def storm(calls: int) -> Sequence[Measured]:
    """Let so many calls come over a minute of which the first half is a storm, through a whole container."""
    clock, chance = FakeClock(), random.Random(calls)
    leaf = Storm(clock, chance)
    overrides = {"clock": clock, "client_factory": _Storms(leaf)}
    # One that retries can be counted for, and whose endpoint grants as many as are asked for.
    defaults = {**_BASE, "retry_budget": {"floor_per_s": 1_000_000}}
    async with opened(configuration(["http://127.0.0.1:9/v1"], defaults=defaults), overrides) as container:
        client = container.resolve(ILLMClient, CLIENT)
        starts = [chance.uniform(0.0, _OVER_S) for _ in range(calls)]

        async def call(number: int) -> LLMResponse[str] | LLMError:
            await clock.sleep(starts[number])
            try:
                return await client.generate(replace(_HI, session=str(number)))
            except LLMError as error:
                return error

        tasks = [asyncio.create_task(call(number)) for number in range(calls)]
        await clock.advance(_OVER_S + DEADLINE_S)
        ends = [task.result() for task in tasks]
    told = [
        (before, after, wait)
        for who, times in leaf.came.items()
        for before, after, wait in zip(times, times[1:], leaf.named[who], strict=False)
    ]
    came = [at for times in leaf.came.values() for at in times]
    amid = [at for at in came if 5.0 <= at < RESET_S]
    at_reset = [after for before, after, wait in told if abs(before + wait - RESET_S) < 1e-6]
    latest = {str(number): at + DEADLINE_S - _MIN_ATTEMPT_S for number, at in enumerate(starts)}
    early = sum(wait > 0 and after - before < wait - 1e-9 for before, after, wait in told)
    late = sum(at > latest[who] + 1e-9 for who, times in leaf.came.items() for at in times)
    return (
        Measured(title="answered", value=sum(isinstance(end, LLMResponse) for end in ends)),
        Measured(title="requests per call", value=len(came) / calls, unit="x", bar=3.0),
        Measured(title="before the wait that was named", value=early, bar=0),
        Measured(title="past the deadline", value=late, bar=0),
        # Of few the fullest of many buckets is chance.
        _evenness("in the storm, busiest 100 ms over the mean", amid, 2.0),
        # The server names one instant to all: the later they are told, the shorter they wait, and the less they spread.
        _evenness("told one instant, busiest 100 ms over the mean", at_reset, 2.5),
        Measured(title="calls without an end", value=calls - len(ends), bar=0),
    )


def _evenness(title: str, arrivals: Sequence[float], bar: float) -> Measured:
    return Measured(title=title, value=crowding(arrivals), unit="x", bar=bar if len(arrivals) >= _ENOUGH else None)
