"""RetryingClient over any failures, deadlines and chances, and from several loops at once: what always holds."""

from __future__ import annotations

import asyncio
import math
import random
import threading
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from loomwire.application.resilience.delays import sends_of
from loomwire.application.state.retry_tokens import RetryTokens
from loomwire.domain.errors import LLMError, llm_error
from loomwire.domain.faults import FAULTS
from loomwire.domain.policies import RetryPolicy
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import Bound, LLMRequest
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.testing import FakeClock, ScriptedClient
from loomwire.testing.scripted import Said
from support.chains import HI
from support.retrying import PLENTY, retrying

LOOPS, CALLS = 4, 50


@dataclass(frozen=True)
class Failing:
    """How one attempt fails: after how long, why, and the wait it names."""

    took_s: float
    reason: str
    retry_after: float | None


FAILURES = st.lists(
    st.builds(
        Failing,
        took_s=st.floats(0.0, 20.0),
        reason=st.sampled_from(sorted(FAULTS)) | st.sampled_from(["server", "throttled", "attempt", "protocol"]),
        retry_after=st.none() | st.floats(-1.0, 70.0) | st.sampled_from([math.nan, math.inf, 1e308]),
    ),
    max_size=6,
)


class Met:
    """What a leaf met: when each attempt began, when it failed, and what it said."""

    def __init__(self, failures: list[Failing]) -> None:
        self.clock = FakeClock()
        self.failures = failures
        self.begun: list[float] = []
        self.failed: list[float] = []

    async def reply(self, _: LLMRequest) -> Said:
        """Fail as told, then answer."""
        number = len(self.begun)
        self.begun.append(self.clock.now())
        if number >= len(self.failures):
            return "hello"
        failing = self.failures[number]
        await self.clock.sleep(failing.took_s)
        self.failed.append(self.clock.now())
        return llm_error(failing.reason, "failed", retry_after=failing.retry_after)


async def ending(met: Met, policy: RetryPolicy, bound: Bound, seed: int) -> tuple[Step, ...]:
    """Ask once; return the steps of the answer or the error."""
    leaf = ScriptedClient(then=met.reply, clock=met.clock)
    client = retrying(leaf, met.clock, policy, draw=random.Random(seed).random)
    call = asyncio.create_task(client.generate(HI.with_bound(bound)))
    await met.clock.advance(2000.0)
    try:
        return (await call).steps
    except LLMError as error:
        return error.steps


@given(
    failures=FAILURES,
    policy=st.builds(RetryPolicy, attempts=st.integers(1, 5), total_attempts=st.integers(1, 10)),
    bound=st.builds(Bound, st.floats(0.0, 150.0), sent=st.integers(0, 5)),
    seed=st.integers(0, 1000),
)
def test_no_call_is_sent_too_often_too_early_or_too_late(
    failures: list[Failing], policy: RetryPolicy, bound: Bound, seed: int
) -> None:
    met = Met(failures)
    steps = asyncio.run(ending(met, policy, bound, seed))
    sends = len(met.begun)
    assert sends == sends_of(steps) <= policy.attempts
    assert sends <= 1 or sends + bound.sent <= policy.total_attempts
    assert all(bound.at - at >= 0.25 for at in met.begun)
    assert (sends > 0) == (bound.at >= 0.25)
    for ended_at, began_at, failing in zip(met.failed, met.begun[1:], failures, strict=False):
        assert FAULTS[failing.reason].disposition.retry_same
        named = failing.retry_after if failing.retry_after is not None and failing.retry_after > 0 else 0.0
        assert named <= policy.retry_after_cap_s
        assert began_at - ended_at >= named - 1e-9
    retried = [step for step in steps if step.layer == "retry" and step.outcome == "retried"]
    assert len(retried) == max(0, sends - 1)


def test_several_loops_may_share_one_client() -> None:
    clock = SystemClock()
    tokens = RetryTokens()
    policy = RetryPolicy(attempts=2, base_s=0.0)
    leaf = ScriptedClient(then=lambda _: llm_error("server", "down"), clock=clock)
    client = retrying(leaf, clock, policy, tokens=tokens)
    counts: list[int] = []

    async def calls() -> None:
        ends = await asyncio.gather(*(client.generate(HI) for _ in range(CALLS)), return_exceptions=True)
        counts.extend(sends_of(end.steps) for end in ends if isinstance(end, LLMError))

    threads = [threading.Thread(target=lambda: asyncio.run(calls())) for _ in range(LOOPS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [2] * LOOPS * CALLS
    assert len(leaf.requests) == 2 * LOOPS * CALLS
    assert tokens.allowance("http://vendor", PLENTY).counts(clock.now()).taken == LOOPS * CALLS
