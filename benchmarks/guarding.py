"""What the guards of a call cost by themselves, and how soon a call fails when nobody may be asked."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from statistics import median, quantiles
from typing import TypeAlias

from benchmarks.clients.ours import container_for
from benchmarks.payloads import PROMPT
from benchmarks.worker import Clock, Figures, must_be
from loomwire import ILLMClient, LLMRequest
from loomwire.application.state.breaking.permits import Permit
from loomwire.application.state.circuits import Circuits
from loomwire.application.state.pacing.lane import Lane
from loomwire.application.state.targets import TargetStates
from loomwire.domain.errors import LLMError
from loomwire.domain.policies import BreakerPolicy, RatePolicy
from loomwire.infrastructure.telemetry.clock import SystemClock


async def breaker(_port: int, count: int) -> Figures:
    """Letting a call through a closed circuit, and booking its answer."""
    circuit = Circuits().target("endpoint", "m", BreakerPolicy())
    clock = Clock()
    for _ in range(count):
        permit = circuit.admit()
        if isinstance(permit, Permit):
            circuit.succeeded(permit)
    return clock.per(count)


async def limiter(_port: int, count: int) -> Figures:
    """Taking a place in a lane where there is room, with requests, tokens and concurrency limited, and settling it."""
    lane = Lane(RatePolicy(rpm=10**9, tpm=10**11, concurrency=64), SystemClock())
    clock = Clock()
    for _ in range(count):
        grant = lane.take(1000)
        if grant is not None:
            grant.spent = 600
            lane.give_back(grant)
    return clock.per(count)


async def fail_fast(port: int, count: int) -> Figures:
    """Calls while the circuits of both targets are open, seen by their caller."""
    async with container_for(port) as container:
        states: TargetStates = container.wiring.target_states()
        for name in ("plain_server/m", "plain_server/spare"):
            # Not only open: then one a second would be let through.
            states.circuits.find(name).isolate()
        client = container.resolve(ILLMClient, "plain")
        took = [await _refused(client) for _ in range(count)]
    return {"cpu": quantiles(took, n=100)[98], "median": median(took)}


async def _refused(client: ILLMClient) -> float:
    began = time.process_time()
    try:
        await client.generate(LLMRequest.of(PROMPT))
    except LLMError as error:
        took_s = time.process_time() - began
        must_be(len(error.steps), 3)
        return took_s
    raise SystemExit("benchmark: an open circuit let a call through")


Guarding: TypeAlias = Callable[[int, int], Awaitable[Figures]]
MEASURES: Mapping[str, Guarding] = {"breaker": breaker, "limiter": limiter, "fail_fast": fail_fast}
