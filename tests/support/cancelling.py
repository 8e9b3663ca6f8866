"""Torture by cancellation of the whole chain: calls that are given up at any await, and what is left of them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

from loomwire import ILLMClient, LLMConfig, LLMContainer, LLMRequest
from loomwire.application.state.targets import TargetStates
from loomwire.domain.config import ClientConfig
from loomwire.domain.errors import LoomError
from loomwire.domain.policies import BalancePolicy, BreakerPolicy, PoolPolicy, RatePolicy, RetryPolicy
from loomwire.domain.responses import LLMResponse
from loomwire.testing import FakeProvider, Fault, HttpReply, Reply, chat_events
from loomwire.testing.wire import Piece, ReceivedRequest, WireReply
from support.torture import Baseline, fresh_calls

Way: TypeAlias = Literal["turns", "time", "twice", "event", "never"]
"""Where a call is given up: after some turns of the loop, after some milliseconds, twice while it unwinds, at an event
of its stream, or not at all."""

NAMES: Final = ("limited", "hedged", "flapping")
AT_ONCE: Final = 100
_WAYS: Final[tuple[Way, ...]] = ("turns", "time", "time", "twice", "event", "never")
_WORDS: Final = "A shuttle goes to and fro."
_LONGEST_S: Final = 0.03
_HI: Final = "Tell me about weaving."


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a container after its calls were cancelled; everything should be 0, but for what informs.

    Attributes:
        ends: How the calls ended: cancelled, answered, or with an error by its code; this informs.
        points: Where the calls were given up; this informs.
        met: How many answers had to do with which layer, by its name in the steps; this informs.
        untyped: Errors that are none of the library's.
        held: What has not come back, by name: connections, waiters, slots, permits, loads, calls, leases.
        unanswered: Of 20 fresh calls for each client, those without an answer.
        descriptors: More open files and sockets than before.
        tasks: More tasks than before.
    """

    ends: Mapping[str, int]
    points: Mapping[str, int]
    met: Mapping[str, int]
    untyped: tuple[BaseException, ...]
    held: Mapping[str, int]
    unanswered: int
    descriptors: int
    tasks: int

    @property
    def cancelled(self) -> int:
        """How many calls ended in their cancellation."""
        return self.ends["cancelled"]


@dataclass
class _Weather:
    """What the servers do: be slow at every step, fail now and then, and one of them for a while; or none of that."""

    dice: random.Random
    calm: bool = False
    asked: Counter[int] = field(default_factory=Counter)

    def reply(self, place: int, request: ReceivedRequest) -> WireReply | Reply | Fault:
        """Answer a request to the server number `place`."""
        self.asked[place] += 1
        if self.calm:
            return Reply(_WORDS)
        dice = self.dice
        down = place == 2 and self.asked[place] % 300 < 60
        if down or dice.random() < 0.1:
            return dice.choice([Fault("reset"), HttpReply(status=503), HttpReply(status=500), Fault("close_early")])
        # One in ten is slow, which is when a second send is worth it.
        pause = dice.random() * (0.02 if dice.random() < 0.1 else 0.003)
        if not request.stream:
            return Reply(_WORDS, delay_s=pause)
        pieces: list[Piece] = [pause]
        for event in chat_events(Reply(_WORDS)):
            pieces += [event, pause / 4]
        return HttpReply(chunks=pieces)


async def cancelled_calls(cancels: int, seed: int = 0) -> Left:
    """Make calls and cancel them wherever the dice say until so many were cancelled; close the container in the end.

    Streams and plain calls go through a limit with a line before it, retries with backoff, a hedge, circuits that open
    and are probed, and a fallback over three servers of which one is down now and then. The last calls are cancelled
    while the container closes.

    Args:
        cancels: How many calls have to end in their cancellation.
        seed: Of the dice; the order in which tasks run is the machine's.
    """
    dice = random.Random(seed)
    outside = Baseline.now()
    weather = _Weather(dice)
    torture = _Torture(dice)
    async with _servers(weather) as urls:
        container = await asyncio.to_thread(LLMContainer.of, _clients(urls))
        try:
            clients = [container.llm_client(name) for name in ("it", *NAMES)]
            await torture.run(clients, cancels)
            weather.calm = True
            states: TargetStates = container.wiring.target_states()
            held = await _held(container, states)
            states.circuits.reset()
            unanswered = sum([20 - await fresh_calls(client) for client in clients])
            weather.calm = False
            await torture.while_closing(container, clients)
        finally:
            await container.aclose(drain=0)
    left = await outside.returns()
    return Left(
        torture.ends,
        torture.points,
        torture.met,
        tuple(torture.untyped),
        held,
        unanswered,
        max(0, left.descriptors - outside.descriptors),
        max(0, left.tasks - outside.tasks),
    )


@asynccontextmanager
async def _servers(weather: _Weather) -> AsyncGenerator[list[str]]:
    async with (
        FakeProvider(then=lambda request: weather.reply(0, request)) as first,
        FakeProvider(then=lambda request: weather.reply(1, request)) as second,
        FakeProvider(then=lambda request: weather.reply(2, request)) as third,
    ):
        yield [first.base_url, second.base_url, third.base_url]


def _clients(urls: list[str]) -> dict[str, ClientConfig]:
    quick = RetryPolicy(base_s=0.004, throttle_base_s=0.004, max_delay_s=0.01)
    breaker = BreakerPolicy(consecutive=5, open_s=0.05, open_max_s=0.1)
    # Fewer connections than calls, and few that are kept, so that there is connecting and waiting for one.
    pool = PoolPolicy(max_connections=20, keepalive=5)
    targets = [
        LLMConfig.custom("m", name=name, base_url=url, allow_private=True, retry=quick, breaker=breaker)
        for name, url in zip(NAMES, urls, strict=True)
    ]
    targets = [
        replace(one, pool=pool, timeouts=replace(one.timeouts, pool_queue_s=60.0, min_attempt_s=0.01))
        for one in targets
    ]
    limited, hedged, flapping = targets
    limited = replace(limited, rate=RatePolicy(concurrency=4))
    hedged = replace(hedged, retry=replace(quick, hedge=True))
    # Every probe of a panic is one more way in.
    balance = BalancePolicy(policy="weighted", panic_probe_per_s=20)
    alone = {one.name: ClientConfig(name=one.name, targets=(one,)) for one in (limited, hedged, flapping)}
    return {"it": ClientConfig(name="it", targets=(limited, hedged, flapping), balance=balance), **alone}


class _Torture:
    """Makes calls and gives them up."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.ends: Counter[str] = Counter()
        self.points: Counter[str] = Counter()
        self.met: Counter[str] = Counter()
        self.untyped: list[BaseException] = []

    async def run(self, clients: list[ILLMClient], cancels: int) -> None:
        """Go on until so many were cancelled."""

        async def worker() -> None:
            while self.ends["cancelled"] < cancels:
                await self._one(self.dice.choice(clients))

        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))

    async def while_closing(self, container: LLMContainer, clients: list[ILLMClient]) -> None:
        """Cancel the last calls while the container closes, and one of two closings too."""
        calls = [asyncio.create_task(self._one(self.dice.choice(clients))) for _ in range(AT_ONCE)]
        await asyncio.sleep(0.002)
        closings = [asyncio.create_task(container.aclose(drain=drain)) for drain in (10.0, 0.005)]
        await asyncio.sleep(0.001)
        closings[1].cancel()
        for end in await asyncio.gather(*closings, *calls, return_exceptions=True):
            if isinstance(end, BaseException) and not isinstance(end, asyncio.CancelledError):
                self.untyped.append(end)

    async def _one(self, client: ILLMClient) -> None:
        dice = self.dice
        way, share = dice.choice(_WAYS), dice.random()
        self.points[way] += 1
        streamed = way == "event" or dice.random() < 0.5
        call = asyncio.create_task(_read(client, way, round(share * 8)) if streamed else _ask(client))
        if way in ("turns", "twice"):
            for _ in range(round(share * 40)):
                await asyncio.sleep(0)
        elif way == "time":
            await asyncio.wait([call], timeout=share * _LONGEST_S)
        if way in ("turns", "twice", "time"):
            call.cancel()
        if way == "twice":
            await asyncio.sleep(0)
            call.cancel()
        self._note((await asyncio.gather(call, return_exceptions=True))[0])

    def _note(self, end: LLMResponse[str] | BaseException) -> None:
        if isinstance(end, LLMResponse):
            self.ends["answered"] += 1
            self.met.update({step.layer for step in end.steps})
        elif isinstance(end, asyncio.CancelledError):
            self.ends["cancelled"] += 1
        elif isinstance(end, LoomError):
            self.ends[end.code] += 1
        else:
            self.untyped.append(end)


async def _ask(client: ILLMClient) -> LLMResponse[str]:
    return await client.generate(LLMRequest.of(_HI, deadline_s=30))


async def _read(client: ILLMClient, way: Way, last: int) -> LLMResponse[str]:
    seen = 0
    async with client.stream(LLMRequest.of(_HI, deadline_s=30)) as stream:
        async for _ in stream:
            seen += 1
            task = asyncio.current_task()
            if way == "event" and seen >= last and task is not None:
                task.cancel()
        return stream.response


async def _held(container: LLMContainer, states: TargetStates) -> Mapping[str, int]:
    # The event loop closes connections a turn later.
    await asyncio.sleep(0.02)
    health = container.health()
    lanes = states.slots.statistics().values()
    return {
        "connections": health.pool.active,
        "waiters for connections": health.pool.waiting,
        "slots": sum(lane.in_use for lane in lanes),
        "waiters for slots": sum(lane.waiting for lane in lanes),
        "permits": sum(circuit.probes for circuit in health.circuits),
        "loads": sum(load.in_flight for load in states.loads.readings(states.now()).values()),
        "leases": health.in_flight,
    }
