"""Who gets the calls when one endpoint is bad, in simulated time: it fails at once, or is slow, or dead."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Final

from typing_extensions import override

from benchmarks.soak.chain import CLIENT, configuration, opened
from benchmarks.soak.figures import Measured
from loomwire import ILLMClient, ILLMClientFactory, LLMConfig, LLMRequest, LLMStream
from loomwire.domain.errors import LLMNetworkError, LLMTemporaryError, LoomError
from loomwire.domain.responses import LLMResponse
from loomwire.testing import FakeClock

_EVERY_S: Final = 0.02
_BAD: Final = "endpoint_0"
_FIRST: Final = 50
_MANY: Final = 1_000
_HI: Final = LLMRequest.of("hi")


@dataclass
class _World(ILLMClientFactory):
    """Targets that take 100 ms, give or take, but for the bad one."""

    clock: FakeClock
    chance: random.Random
    bad: str
    order: list[str] = field(default_factory=list)

    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        return _Target(config.name, self)


@dataclass
class _Target(ILLMClient):
    """One endpoint of the world."""

    name: str
    world: _World

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        world = self.world
        world.order.append(self.name)
        kind = world.bad if self.name == _BAD else "fine"
        if kind == "fails":
            await world.clock.sleep(0.005)
            raise LLMTemporaryError("no", reason="server")
        if kind == "dead":
            await world.clock.sleep(2.0)
            raise LLMNetworkError("no", reason="refused")
        usual = 1.0 if kind == "slow" else 0.1
        await world.clock.sleep(usual * world.chance.uniform(0.7, 1.3))
        return LLMResponse("ok", "ok", self.name, "m")

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        raise NotImplementedError


@dataclass(frozen=True)
class _Balanced:
    """How calls were shared out.

    Attributes:
        p99_s: How long the slowest hundredth took after the first calls.
        later: The share that the first endpoint got after the first calls.
        failed: Calls without an answer.
    """

    p99_s: float
    later: float
    failed: int


async def _balanced(calls: int, bad: str) -> _Balanced:
    clock = FakeClock()
    world = _World(clock, random.Random(calls), bad)
    overrides: Mapping[str, object] = {"clock": clock, "client_factory": world}
    urls = [f"http://127.0.0.1:{port}/v1" for port in (1, 2, 3)]
    took = [0.0] * calls
    failed = 0
    async with opened(configuration(urls, client={"balance": "latency"}, defaults={}), overrides) as container:
        client = container.resolve(ILLMClient, CLIENT)

        async def call(number: int) -> None:
            nonlocal failed
            await clock.sleep(number * _EVERY_S)
            began = clock.now()
            try:
                await client.generate(_HI)
            except LoomError:
                failed += 1
            took[number] = clock.now() - began

        async with asyncio.TaskGroup() as group:
            for number in range(calls):
                group.create_task(call(number))
            await clock.advance(calls * _EVERY_S + 120.0)
    later = world.order[_FIRST:]
    return _Balanced(quantiles(took[_FIRST:], n=100)[98], later.count(_BAD) / len(later), failed)


async def balance(calls: int) -> Sequence[Measured]:
    """Make so many calls, 50 a second, in four worlds: all is well, or the first endpoint fails, is slow, is dead."""
    each = calls // 4
    # Of a few hundred calls it is the third slowest, which two or three probes of the dead one decide.
    bar = 1.3 if each >= _MANY else None
    well = await _balanced(each, "fine")
    measured: list[Measured] = []
    for bad, words in (("fails", "fails in 5 ms"), ("slow", "takes ten times as long"), ("dead", "is dead")):
        found = await _balanced(each, bad)
        measured += [
            Measured(title=f"one {words}: its share of the traffic", value=found.later * 100, unit="%", bar=5.0),
            Measured(title=f"one {words}: p99 over all being well", value=found.p99_s / well.p99_s, unit="x", bar=bar),
            Measured(title=f"one {words}: calls without an answer", value=found.failed, bar=0),
        ]
    return measured
