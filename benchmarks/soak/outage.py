"""Every endpoint is down, and comes back: who is asked in the meantime, how soon a call fails, how soon all is well."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Final

from benchmarks.soak.chain import CLIENT, QUICK, configuration, opened, shared_out
from benchmarks.soak.endpoints import endpoints
from benchmarks.soak.figures import Measured
from benchmarks.soak.weather import FINE, Weather, words_of
from loomwire import ILLMClient, LLMRequest
from loomwire.domain.errors import LoomError

AT_ONCE: Final = 8
# Slow enough that probes overlap, if they can.
DOWN: Final = Weather(share=1.0, plain=("status 503", "status 500", "reset", "close_early"), delay_s=0.05)
_WHOLE: Final = 20_000
_WELL: Final = 100
_PATIENCE_S: Final = 60.0


@dataclass
class _Seen:
    """What callers see of an outage."""

    answered: int = 0
    untold: int = 0
    at_once_s: list[float] = field(default_factory=list)
    wait_s: float = 0.0

    async def ask(self, client: ILLMClient, number: int) -> bool:
        """Ask once; return whether there was an answer."""
        began = time.perf_counter()
        try:
            await client.generate(LLMRequest.of(words_of(number)))
        except LoomError as error:
            if not any(step.layer == "attempt" for step in error.steps):
                self.at_once_s.append(time.perf_counter() - began)
                self.untold += error.retry_after is None
            self.wait_s = error.retry_after or 0.0
            return False
        self.answered += 1
        return True


async def outage(calls: int) -> Sequence[Measured]:
    """Make so many calls over three times as long as a circuit is open at first, then let the endpoints recover."""
    open_s = 5.0 if calls >= _WHOLE else 0.5
    policy = {**QUICK, "breaker": {"open": open_s}}
    seen = _Seen()
    async with endpoints(3) as servers, opened(configuration(servers.urls, defaults=policy)) as container:
        client = container.resolve(ILLMClient, CLIENT)
        await client.generate(LLMRequest.of(words_of(0)))
        before = await servers.become(DOWN)

        async def work(number: int) -> None:
            await seen.ask(client, number)
            await asyncio.sleep(3 * open_s * AT_ONCE / calls)

        opening = min(AT_ONCE * 4, calls)
        await shared_out(work, range(opening), AT_ONCE)
        await servers.counted(fresh=True)
        await shared_out(work, range(opening, calls), AT_ONCE)
        down, answered = await servers.become(FINE), seen.answered
        began, wait_s = time.monotonic(), await _wait_named(client, seen)
        recovered_s = await _recovered(client, seen) - began
    asked = sum(one.requests for one in down) - sum(one.requests for one in before)
    cuts = quantiles(seen.at_once_s, n=100)
    return (
        Measured(title="answers while all were down", value=answered, bar=0),
        Measured(title="requests per call", value=asked / calls, unit="x", bar=0.05),
        Measured(title="most probes in flight", value=max(one.most for one in down), bar=3),
        Measured(title="calls that failed without a request", value=len(seen.at_once_s)),
        Measured(title="of these, without a retry_after", value=seen.untold, bar=0),
        Measured(title="failed without a request, median", value=cuts[49] * 1e6, unit="us", is_time=True),
        Measured(title="failed without a request, p99", value=cuts[98] * 1e3, unit="ms", bar=1.0, is_time=True),
        Measured(title="well again after the wait that was named", value=recovered_s - wait_s, unit="s", bar=1.0),
    )


async def _wait_named(client: ILLMClient, seen: _Seen) -> float:
    return 0.0 if await seen.ask(client, 0) else seen.wait_s


async def _recovered(client: ILLMClient, seen: _Seen) -> float:
    """Ask until so many calls in a row were answered; return when the first of them was."""
    since, well = 0.0, 0
    async with asyncio.timeout(_PATIENCE_S):
        while well < _WELL:
            answered = await seen.ask(client, well)
            well = well + 1 if answered else 0
            since = time.monotonic() if well == 1 else since
            if not answered:
                # Nobody who is told to wait asks again at once.
                await asyncio.sleep(0.01)
    return since
