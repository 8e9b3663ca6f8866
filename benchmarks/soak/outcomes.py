"""Plain and streamed calls while three endpoints spoil three answers of ten: how they end, and what is left behind."""

from __future__ import annotations

import asyncio
import gc
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.machine import MIB, resident_bytes
from benchmarks.soak.chain import CLIENT, answer, configuration, opened, shared_out
from benchmarks.soak.endpoints import Counted, Endpoints, endpoints
from benchmarks.soak.figures import Measured
from benchmarks.soak.weather import FINE, MIXED, reply_to, words_of
from loomwire import ILLMClient, LLMRequest
from loomwire.domain.errors import LoomError
from loomwire.domain.reports.steps import Step
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import JSON
from support.torture import Baseline

AT_ONCE = 64
WARM_UP = 200
IDLE_S = 0.5
"""How long a connection is kept, so that none is there when descriptors are counted."""


SHARE = 0.0005
FULL = 100_000


def bar_of(calls: int) -> float:
    """Return how many of a hundred calls have to be answered.

    99.95 at full size. Of a thousand calls one failure is a tenth of a percent, so smaller sizes have three standard
    deviations of chance on top.
    """
    slack = 0.0 if calls >= FULL else 3 * math.sqrt(SHARE / calls)
    return 100 * (1 - SHARE - slack)


@dataclass
class Ended:
    """How calls ended.

    Attributes:
        right: The right answer.
        wrong: Another answer, or the right one with wrong figures: nobody would notice.
        failed: Typed errors, by what their steps say of why nobody was asked again.
        sends: Attempts that answers and errors tell of.
        shown: The first few that went wrong, in words.
    """

    right: int = 0
    wrong: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    sends: int = 0
    shown: list[str] = field(default_factory=list)

    def answered(self, number: int, response: LLMResponse[str], said: str) -> None:
        """Judge an answer; `said` is what its pieces came to."""
        right, usage = reply_to(words_of(number)), response.usage
        self.sent(response.steps)
        tokens = None if usage.estimated else (usage.input_tokens, usage.output_tokens)
        wanted = right.usage and (right.usage.input_tokens, right.usage.output_tokens)
        if (response.text, said, tokens) == (right.text, right.text, wanted):
            self.right += 1
        else:
            self.wrong += 1
            self.shown.append(f"{number}: {response.text!r:.60} {said!r:.60} {usage}")

    def sent(self, steps: Sequence[Step]) -> None:
        """Count the attempts of a call."""
        self.sends += sum(step.layer == "attempt" for step in steps)


async def ask(client: ILLMClient, number: int, ended: Ended, *, streamed: bool) -> None:
    """Ask once and note how it ended."""
    try:
        response, said = await answer(client, LLMRequest.of(words_of(number)), streamed=streamed)
    except LoomError as error:
        ended.failed[_why(error)] += 1
        ended.sent(error.steps)
        ended.shown += [f"{number}: {error}"] if len(ended.shown) < 5 else []
    else:
        ended.answered(number, response, said)


async def outcomes(calls: int) -> Sequence[Measured]:
    """Make so many plain calls and so many streams, and judge every one.

    Args:
        calls: How many of each.
    """
    measured: list[Measured] = []
    provider: Mapping[str, JSON] = {"free": True, "pool": {"keepalive_expiry": IDLE_S}}
    async with endpoints(3) as servers, opened(configuration(servers.urls, provider=provider)) as container:
        client = container.resolve(ILLMClient, CLIENT)
        for mode, streamed in (("plain", False), ("streamed", True)):
            measured += await _soaked(client, servers, calls, mode, streamed=streamed)
    return measured


async def _soaked(
    client: ILLMClient, servers: Endpoints, calls: int, mode: str, *, streamed: bool
) -> Sequence[Measured]:
    ended, aside = Ended(), Ended()

    async def work(number: int) -> None:
        await ask(client, number, ended, streamed=streamed)

    async def calm(number: int) -> None:
        await ask(client, number, aside, streamed=streamed)

    await shared_out(calm, range(WARM_UP), AT_ONCE)
    await asyncio.sleep(2 * IDLE_S)
    held, left = _held(), Baseline.now()
    before = await servers.become(MIXED)
    await shared_out(work, range(calls), AT_ONCE)
    after = await servers.become(FINE)
    await shared_out(calm, range(WARM_UP), AT_ONCE)
    now = await left.returns()
    requests, right = _requests(after) - _requests(before), ended.right / calls * 100
    for words in ended.shown[:5]:
        print(f"  {mode} call {words}")
    return (
        Measured(title=f"{mode}: right answers", value=right, unit="%", bar=bar_of(calls), more_is_better=True),
        Measured(title=f"{mode}: silently wrong", value=ended.wrong, bar=0),
        *(Measured(title=f"{mode}: errors, {why}", value=count) for why, count in sorted(ended.failed.items())),
        Measured(title=f"{mode}: requests per call", value=requests / calls, unit="x", bar=1.5),
        Measured(title=f"{mode}: requests that no step tells of", value=max(0, requests - ended.sends), bar=0),
        Measured(title=f"{mode}: memory", value=(_held() - held) / MIB, unit="MiB", bar=20),
        Measured(title=f"{mode}: descriptors", value=max(0, now.descriptors - left.descriptors), bar=0),
        Measured(title=f"{mode}: tasks", value=max(0, now.tasks - left.tasks), bar=0),
    )


def _why(error: LoomError) -> str:
    outcomes, reasons = {str(step.outcome) for step in error.steps}, {step.reason for step in error.steps}
    if "circuit_open" in reasons:
        return "a circuit was open"
    return "the retry budget was used up" if "no_retry_budget" in outcomes else "every attempt failed"


def _requests(counted: Sequence[Counted]) -> int:
    return sum(one.requests for one in counted)


def _held() -> int:
    gc.collect()
    return resident_bytes()
