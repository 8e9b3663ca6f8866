"""A lane against a model: callers who wait, settle, lose patience and are cancelled, and a provider that talks."""

from __future__ import annotations

import asyncio
from bisect import bisect_right, insort
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from typing_extensions import override

from loomwire.application.state.pacing.lane import Lane
from loomwire.application.state.pacing.meter import PERIOD_S
from loomwire.application.state.pacing.waiter import Grant
from loomwire.domain.errors import LLMTimeoutError
from loomwire.domain.policies import RatePolicy
from loomwire.domain.responses import RateLimits
from loomwire.testing import FakeClock
from support.chains import turns

LIMITS = st.none() | st.integers(1, 200)
PICKS = st.integers(0, 10**6)


@dataclass(slots=True)
class Caller:
    """One call of the model.

    Attributes:
        number: In the order of asking.
        urgency: Its class.
        tokens: What it asked for.
        task: What it does.
        at: When it was let through.
        used: Requests and tokens that count for it.
    """

    number: int
    urgency: int
    tokens: int
    task: asyncio.Task[Grant | None]
    at: float = -1.0
    used: tuple[int, int] = (0, 0)


def _when(caller: Caller) -> float:
    return caller.at


class LaneMachine(RuleBasedStateMachine):
    """Whatever happens, the limits hold, nobody is passed, and nothing is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock(100.0)
        self.policy = RatePolicy()
        self.lane = Lane(self.policy, self.clock)
        self.waiting: list[Caller] = []
        self.out: list[Caller] = []
        self.history: list[Caller] = []
        self.count = 0

    @initialize(
        rpm=LIMITS, tpm=LIMITS, concurrency=st.none() | st.integers(1, 5), burst_s=st.sampled_from([0.0, 1, 60])
    )
    def limit(self, rpm: int | None, tpm: int | None, concurrency: int | None, burst_s: float) -> None:
        self.policy = RatePolicy(rpm, tpm, concurrency, queue=8, burst_s=burst_s)
        self.lane = Lane(self.policy, self.clock)

    @rule(tokens=st.integers(0, 250), urgency=st.integers(0, 2), patience_s=st.sampled_from([0.5, 20.0, 1e9]))
    def ask(self, tokens: int, urgency: int, patience_s: float) -> None:
        until = self.clock.now() + patience_s

        async def call() -> Grant | None:
            try:
                grant = self.lane.take(tokens) or await self.lane.wait(tokens, until=until, urgency=urgency)
            except LLMTimeoutError:
                return None
            caller.at = self.clock.now()
            return grant

        self.count += 1
        caller = Caller(self.count, urgency, tokens, self.loop.create_task(call()))
        self.waiting.append(caller)
        self.settle_down()

    @rule(seconds=st.sampled_from([0.01, 0.4, 1.0, 5.0, 61.0]))
    def pass_time(self, seconds: float) -> None:
        self.loop.run_until_complete(self.clock.advance(seconds))
        self.settle_down()

    @precondition(lambda self: self.out)
    @rule(pick=PICKS, share=st.none() | st.floats(0, 1), sent=st.booleans())
    def finish(self, pick: int, share: float | None, sent: bool) -> None:
        caller = self.out.pop(pick % len(self.out))
        grant = caller.task.result()
        assert grant is not None
        grant.sent = sent
        if share is not None:
            grant.spent = int(grant.tokens * share)
        caller.used = (int(sent), 0 if not sent else grant.tokens if grant.spent is None else grant.spent)
        self.lane.give_back(grant)
        self.settle_down()

    @precondition(lambda self: self.waiting)
    @rule(pick=PICKS, turns_=st.integers(0, 2))
    def cancel(self, pick: int, turns_: int) -> None:
        caller = self.waiting[pick % len(self.waiting)]
        caller.task.cancel()
        self.loop.run_until_complete(turns(turns_))
        self.settle_down()

    @rule(seconds=st.sampled_from([0.1, 3.0]))
    def throttle(self, seconds: float) -> None:
        self.lane.pause(seconds)
        self.settle_down()

    @rule(requests=st.integers(-1, 200), tokens=st.integers(-1, 200), reset_s=st.none() | st.floats(0, 100))
    def hear(self, requests: int, tokens: int, reset_s: float | None) -> None:
        self.lane.hear(RateLimits(requests_remaining=requests, tokens_remaining=tokens, tokens_reset_s=reset_s))
        self.settle_down()

    def settle_down(self) -> None:
        """Let everybody run and note who was let through."""
        self.loop.run_until_complete(turns(8))
        ended = [caller for caller in self.waiting if caller.task.done()]
        self.waiting = [caller for caller in self.waiting if not caller.task.done()]
        for caller in ended:
            grant = None if caller.task.cancelled() else caller.task.result()
            if grant is not None:
                passed = [other for other in self.waiting if other.urgency == caller.urgency]
                assert all(other.number > caller.number for other in passed), "somebody was passed"
                later = [other for other in self.history if other.urgency == caller.urgency and other.at > caller.at]
                assert all(other.number > caller.number for other in later), "somebody was passed"
                caller.used = (1, grant.tokens)
                self.out.append(caller)
                insort(self.history, caller, key=_when)

    @invariant()
    def nothing_is_lost(self) -> None:
        held = self.lane.statistics()
        assert (held.in_use, held.waiting) == (len(self.out), len(self.waiting))
        assert self.policy.concurrency is None or held.in_use <= self.policy.concurrency

    @invariant()
    def no_minute_holds_too_much(self) -> None:
        times = [caller.at for caller in self.history]
        for start, at in enumerate(times):
            window = self.history[start : bisect_right(times, at + PERIOD_S - 1e-6)]
            for which, limit in enumerate((self.policy.rpm, self.policy.tpm)):
                assert limit is None or sum(caller.used[which] for caller in window) <= limit

    @invariant()
    def nobody_waits_for_what_is_free(self) -> None:
        head = self.lane._line.first()
        now = self.clock.now()
        if head is not None and now >= self.lane._paused_until and self.lane._fits(head.tokens, now):
            self.loop.run_until_complete(self.clock.advance(3e-4))
            assert head.grant is not None
            self.settle_down()

    @override
    def teardown(self) -> None:
        for caller in [*self.waiting]:
            caller.task.cancel()
        self.settle_down()
        while self.out:
            self.finish(0, None, True)
        held = self.lane.statistics()
        assert (held.in_use, held.waiting, self.clock.waiting) == (0, 0, 0)
        self.loop.close()


TestLane = LaneMachine.TestCase
TestLane.settings = settings(stateful_step_count=25)
