from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager

import pytest
from typing_extensions import override

from loomwire.application.state.pacing.lane import Lane
from loomwire.application.state.pacing.waiter import AGEING_S, Grant
from loomwire.domain.errors import LLMTimeoutError
from loomwire.domain.policies import RatePolicy
from loomwire.domain.ports.clock import IClock
from loomwire.domain.responses import RateLimits
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.testing import FakeClock
from support.chains import turns
from support.limiting import cancelled_waiters


def taken(lane: Lane, tokens: int = 0) -> Grant:
    """Take a slot that is free."""
    grant = lane.take(tokens)
    assert grant is not None
    return grant


async def queued(*waits: Coroutine[None, None, Grant]) -> list[asyncio.Task[Grant]]:
    """Let calls stand in line, in this order."""
    tasks = []
    for wait in waits:
        tasks.append(asyncio.create_task(wait))
        await turns(1)
    return tasks


def served(tasks: Sequence[asyncio.Task[Grant]]) -> list[bool]:
    """Return who was let through."""
    return [task.done() for task in tasks]


async def test_all_three_limits_are_taken_together_or_none() -> None:
    clock = FakeClock()
    lane = Lane(RatePolicy(rpm=60, tpm=600, concurrency=2, burst_s=60), clock)
    taken(lane, 500)
    assert lane.take(200) is None
    held = lane.statistics()
    assert (held.in_use, held.requests, held.tokens) == (1, 1, 500)
    taken(lane, 100)
    assert lane.take(0) is None
    held = lane.statistics()
    assert (held.in_use, held.requests, held.tokens, held.fill) == (2, 2, 600, 1.0)


async def test_who_waits_for_the_pace_goes_at_the_first_possible_moment() -> None:
    clock = FakeClock(5.0)
    lane = Lane(RatePolicy(rpm=60), clock)
    taken(lane)
    tasks = await queued(lane.wait(0), lane.wait(0))
    await clock.advance(0.99)
    assert served(tasks) == [False, False]
    await clock.advance(0.02)
    assert served(tasks) == [True, False]
    await clock.advance(0.99)
    assert served(tasks) == [True, True]
    assert tasks[1].result().waited_s == pytest.approx(2.0, abs=0.01)
    assert clock.waiting == 0


async def test_who_waits_for_a_slot_gets_it_from_who_gives_it_back() -> None:
    lane = Lane(RatePolicy(concurrency=1), FakeClock())
    first = taken(lane)
    tasks = await queued(lane.wait(0), lane.wait(0))
    lane.give_back(first)
    lane.give_back(first)
    await turns(5)
    assert served(tasks) == [True, False]
    lane.give_back(tasks[0].result())
    await turns(5)
    assert served(tasks) == [True, True]


async def test_nobody_is_passed_by_a_smaller_one_behind() -> None:
    clock = FakeClock()
    lane = Lane(RatePolicy(tpm=6000), clock)
    taken(lane, 90)
    tasks = await queued(lane.wait(95), lane.wait(1))
    assert lane.take(1) is None
    await clock.advance(0.8)
    assert served(tasks) == [False, False]
    await clock.advance(0.2)
    assert served(tasks) == [True, True]


async def test_large_requests_among_small_ones_wait_no_longer_than_the_tokens_before_them_take() -> None:
    clock = FakeClock()
    lane = Lane(RatePolicy(tpm=6000, queue=1000), clock)
    delays: list[float] = []

    async def small() -> None:
        while True:
            lane.give_back(lane.take(2) or await lane.wait(2))

    async def large() -> None:
        while True:
            ahead = 2 * lane.statistics().waiting
            asked = clock.now()
            lane.give_back(lane.take(80) or await lane.wait(80))
            delays.append((clock.now() - asked) / ((ahead + 80) / 100))

    # No refund: `spent` stays as charged, so that the lane is saturated all the time.
    tasks = [asyncio.create_task(small()) for _ in range(60)]
    await clock.advance(0.5)
    tasks.append(asyncio.create_task(large()))
    await clock.advance(15)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(delays) >= 6
    assert max(delays) <= 1.2
    assert lane.statistics().in_use == lane.statistics().waiting == 0


async def test_the_urgent_go_first_until_the_others_waited_long_enough() -> None:
    clock = FakeClock()
    lane = Lane(RatePolicy(concurrency=1), clock)
    grant = taken(lane)
    tasks = await queued(lane.wait(0, urgency=2), lane.wait(0, urgency=1), lane.wait(0, urgency=0))
    order = []
    for _ in tasks:
        lane.give_back(grant)
        await turns(5)
        order.append(next(i for i, task in enumerate(tasks) if task.done() and i not in order))
        grant = tasks[order[-1]].result()
    assert order == [2, 1, 0]
    (low,) = await queued(lane.wait(0, urgency=2))
    await clock.advance(2 * AGEING_S + 1)
    (high,) = await queued(lane.wait(0, urgency=0))
    lane.give_back(grant)
    await turns(5)
    assert served([low, high]) == [True, False]
    high.cancel()
    await asyncio.gather(high, return_exceptions=True)


async def test_a_wait_that_would_last_too_long_is_refused_at_once_and_says_how_long() -> None:
    lane = Lane(RatePolicy(rpm=60), FakeClock())
    taken(lane)
    (waiting,) = await queued(lane.wait(0))
    with pytest.raises(LLMTimeoutError, match="no slot would become free in time") as caught:
        await lane.wait(0, until=1.9)
    assert caught.value.reason == "queue"
    assert caught.value.retry_after == pytest.approx(2.0)
    (later,) = await queued(lane.wait(0, until=2.1))
    assert lane.statistics().waiting == 2
    for task in (waiting, later):
        task.cancel()
    await asyncio.gather(waiting, later, return_exceptions=True)


async def test_a_full_line_takes_nobody() -> None:
    lane = Lane(RatePolicy(concurrency=1, queue=1), FakeClock())
    grant = taken(lane)
    (waiting,) = await queued(lane.wait(0))
    with pytest.raises(LLMTimeoutError, match="too many calls wait"):
        await lane.wait(0)
    assert lane.statistics().refused == 1
    lane.give_back(grant)
    await waiting


async def test_who_waits_for_a_slot_gives_up_when_its_time_is_over() -> None:
    clock = FakeClock()
    lane = Lane(RatePolicy(concurrency=1), clock)
    taken(lane)
    tasks = await queued(lane.wait(0, until=50.0), lane.wait(0, until=2.5))
    await clock.advance(2.4)
    assert served(tasks) == [False, False]
    await clock.advance(0.2)
    with pytest.raises(LLMTimeoutError, match="no slot became free in time"):
        await tasks[1]
    assert lane.statistics().waiting == 1
    await clock.advance(50)
    assert isinstance(tasks[0].exception(), LLMTimeoutError)
    assert lane.statistics().waiting == 0


async def test_who_gives_up_lets_the_next_one_go_in_the_same_moment() -> None:
    clock = FakeClock()
    lane = Lane(RatePolicy(tpm=1), clock)
    lane.pause(0.1)
    until = clock.now() + 0.5
    tasks = await queued(lane.wait(1, until=until), lane.wait(0), lane.wait(1, until=until, urgency=0))
    await clock.advance(0.2)
    assert served(tasks) == [False, False, True]
    await clock.advance(0.3)
    with pytest.raises(LLMTimeoutError):
        await tasks[0]
    await turns(5)
    assert served(tasks) == [True, True, True]


async def test_a_pause_holds_everybody_and_sends_those_away_who_cannot_wait_that_long() -> None:
    clock = FakeClock()
    lane = Lane(RatePolicy(concurrency=1), clock)
    grant = taken(lane)
    tasks = await queued(lane.wait(0, until=4.0), lane.wait(0, until=60.0))
    lane.pause(5.0)
    lane.pause(1.0)
    await turns(5)
    assert isinstance(tasks[0].exception(), LLMTimeoutError)
    lane.give_back(grant)
    await clock.advance(4.9)
    assert served(tasks) == [True, False]
    assert lane.take(0) is None
    assert lane.statistics().paused_s == pytest.approx(0.1)
    await clock.advance(0.2)
    assert served(tasks) == [True, True]


async def test_no_pause_lasts_longer_than_a_day() -> None:
    lane = Lane(RatePolicy(concurrency=1), FakeClock())
    lane.pause(1e308)
    assert lane.statistics().paused_s == 86_400


async def test_a_settled_charge_is_what_was_used_and_makes_room_at_once() -> None:
    clock = FakeClock()
    lane = Lane(RatePolicy(tpm=600, burst_s=60), clock)
    generous, modest = taken(lane, 500), taken(lane, 50)
    tasks = await queued(lane.wait(400))
    generous.spent = 80
    lane.give_back(generous)
    await turns(5)
    assert served(tasks) == [True]
    modest.spent = 90
    lane.give_back(modest)
    assert lane.statistics().tokens == 80 + 90 + 400


async def test_what_was_never_sent_is_refunded_whole() -> None:
    lane = Lane(RatePolicy(rpm=60, tpm=600, burst_s=60), FakeClock())
    grant = taken(lane, 500)
    grant.sent = False
    lane.give_back(grant)
    held = lane.statistics()
    assert (held.requests, held.tokens, held.in_use) == (0, 0, 0)


async def test_what_is_larger_than_the_limit_is_charged_as_the_whole_limit() -> None:
    lane = Lane(RatePolicy(tpm=600), FakeClock())
    taken(lane, 10_000)
    assert lane.statistics().tokens == 600


async def test_a_provider_that_says_less_is_left_is_believed() -> None:
    clock = FakeClock()
    lane = Lane(RatePolicy(rpm=60, tpm=600, burst_s=60), clock)
    lane.hear(
        RateLimits(
            requests_limit=60, requests_remaining=10, requests_reset_s=30, tokens_remaining=100, tokens_reset_s=8
        )
    )
    held = lane.statistics()
    assert (held.requests, held.tokens) == (50, 500)
    (waiting,) = await queued(lane.wait(200))
    await clock.advance(9.9)
    assert not waiting.done()
    await clock.advance(0.2)
    assert waiting.done()


@pytest.mark.parametrize(("limit", "remaining"), [(None, -1), (10, 11), (None, None)])
async def test_a_provider_that_talks_nonsense_is_not_believed(limit: int | None, remaining: int | None) -> None:
    lane = Lane(RatePolicy(rpm=60, tpm=600), FakeClock())
    lane.hear(
        RateLimits(requests_limit=limit, requests_remaining=remaining, tokens_limit=limit, tokens_remaining=remaining)
    )
    held = lane.statistics()
    assert (held.requests, held.tokens) == (0, 0)


async def test_what_nobody_limits_cannot_be_lowered() -> None:
    lane = Lane(RatePolicy(concurrency=2), FakeClock())
    lane.hear(RateLimits(requests_remaining=0, tokens_remaining=0))
    taken(lane, 10**9)


async def test_other_limits_hold_at_once_for_those_who_wait() -> None:
    clock = FakeClock()
    lane = Lane(RatePolicy(concurrency=1), clock)
    grant = taken(lane)
    tasks = await queued(*(lane.wait(10) for _ in range(3)))
    lane.adapt(RatePolicy(concurrency=3, tpm=600, burst_s=60))
    assert lane.weighed
    await turns(5)
    assert served(tasks) == [True, True, False]
    assert lane.statistics().tokens == 20
    lane.adapt(RatePolicy())
    await turns(5)
    assert served(tasks) == [True, True, True]
    lane.adapt(RatePolicy(tpm=300, burst_s=60))
    for each in (grant, *(task.result() for task in tasks)):
        each.spent = 5
        lane.give_back(each)
    assert (lane.statistics().tokens, lane.statistics().in_use) == (0, 0)


async def test_a_cancelled_waiter_leaves_no_trace_and_lets_the_next_one_go() -> None:
    clock = FakeClock()
    lane = Lane(RatePolicy(tpm=6000), clock)
    taken(lane, 100)
    tasks = await queued(lane.wait(100), lane.wait(10))
    tasks[0].cancel()
    await clock.advance(0.11)
    assert served(tasks) == [True, True]
    assert lane.statistics().tokens == 110
    assert clock.waiting == 0


async def test_a_grant_that_meets_a_cancellation_goes_to_the_next_one() -> None:
    lane = Lane(RatePolicy(rpm=600, concurrency=1, burst_s=60), FakeClock())
    grant = taken(lane)
    tasks = await queued(lane.wait(0), lane.wait(0))
    lane.give_back(grant)
    tasks[0].cancel()
    await turns(5)
    assert tasks[0].cancelled()
    assert served(tasks) == [True, True]
    assert (lane.statistics().in_use, lane.statistics().requests) == (1, 2)


async def test_a_thousand_cancelled_calls_leave_nothing() -> None:
    left = await cancelled_waiters(1000)
    assert min(left.ends[end] for end in ("cancelled", "late", "served")) > 10
    assert (left.statistics.in_use, left.statistics.waiting) == (0, 0)
    assert left.charged == left.served


@pytest.mark.full
async def test_ten_thousand_cancelled_calls_leave_nothing() -> None:
    left = await cancelled_waiters(10_000, seed=1)
    assert (left.statistics.in_use, left.statistics.waiting) == (0, 0)
    assert left.charged == left.served


def abandoned_waiter(lane: Lane, tokens: int = 0) -> asyncio.Task[Grant]:
    """Let somebody stand in line whose loop is then closed without a word."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    task = loop.create_task(lane.wait(tokens))
    loop.run_until_complete(turns(2))
    loop.close()
    return task


def test_the_waiters_of_a_dead_loop_hold_nobody_up() -> None:
    clock = FakeClock()
    lane = Lane(RatePolicy(concurrency=1), clock)
    grant = taken(lane)
    dead = abandoned_waiter(lane)
    assert lane.statistics().waiting == 1

    async def alive() -> None:
        (waiting,) = await queued(lane.wait(0))
        lane.give_back(grant)
        await waiting
        lane.give_back(waiting.result())

    asyncio.run(alive())
    assert (lane.statistics().in_use, lane.statistics().waiting) == (0, 0)
    assert not dead.done()


def test_nobody_waits_for_what_a_dead_loop_wanted() -> None:
    lane = Lane(RatePolicy(tpm=600, burst_s=60), FakeClock())
    taken(lane, 300)
    dead = abandoned_waiter(lane, 400)
    lane.give_back(asyncio.run(lane.wait(300)))
    assert lane.statistics().granted == 2
    assert not dead.done()


def test_a_waiter_behind_a_dead_loop_looks_up_by_itself() -> None:
    clock = FakeClock()
    lane = Lane(RatePolicy(rpm=60), clock)
    taken(lane)
    dead = abandoned_waiter(lane)

    async def alive() -> None:
        (waiting,) = await queued(lane.wait(0))
        await clock.advance(5)
        assert waiting.done()

    asyncio.run(alive())
    assert not dead.done()


def test_a_slot_whose_holder_is_collected_with_its_loop_is_free_again() -> None:
    lane = Lane(RatePolicy(concurrency=1), FakeClock())

    async def hold() -> None:
        grant = lane.take(0) or await lane.wait(0)
        try:
            await asyncio.Event().wait()
        finally:
            lane.give_back(grant)

    def abandon() -> None:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *_: None)
        holding = [loop.create_task(hold())]
        loop.run_until_complete(turns(2))
        loop.close()
        assert lane.statistics().in_use == len(holding)

    abandon()
    gc.collect()
    assert lane.statistics().in_use == 0


def test_a_slot_that_was_handed_to_a_loop_that_closed_in_the_same_moment_is_free_again() -> None:
    lane = Lane(RatePolicy(concurrency=1), FakeClock())
    grant = taken(lane)
    dead = abandoned_waiter(lane)
    loop = dead.get_loop()
    waiter = lane._line.first()
    assert waiter is not None

    class Closing:
        """Looks alive until somebody is woken."""

        def is_closed(self) -> bool:
            return False

        def call_soon_threadsafe(self, *_: object) -> None:
            raise RuntimeError("Event loop is closed")

    waiter.loop = Closing()  # type: ignore[assignment]
    lane.give_back(grant)
    assert (lane.statistics().in_use, lane.statistics().waiting) == (0, 0)
    assert loop.is_closed()


def test_giving_back_never_waits_and_is_never_forgotten() -> None:
    lane = Lane(RatePolicy(concurrency=1), FakeClock())
    grant = taken(lane)
    with lane._lock:
        # As a finaliser would that interrupts the lane in its own thread.
        lane.give_back(grant)
    assert lane.take(0) is None
    assert lane.take(0) is not None


class Interrupting(IClock):
    """Runs something once while somebody asks for the time, as the garbage collector may."""

    def __init__(self) -> None:
        self.interruption: Callable[[], None] | None = None

    @override
    def now(self) -> float:
        interruption, self.interruption = self.interruption, None
        if interruption is not None:
            interruption()
        return 0.0

    @override
    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    @override
    def timeout_at(self, at: float) -> AbstractAsyncContextManager[object]:
        return asyncio.timeout(None)


@pytest.mark.parametrize(
    "act",
    [
        lambda lane: lane.take(0),
        lambda lane: lane.pause(0),
        lambda lane: lane.hear(RateLimits(requests_remaining=50)),
        lambda lane: lane.adapt(RatePolicy(rpm=70, burst_s=60)),
        lambda lane: lane.statistics(),
        lambda lane: asyncio.run(lane.wait(0)),
    ],
    ids=["take", "pause", "hear", "adapt", "statistics", "wait"],
)
def test_a_finaliser_that_interrupts_a_lane_gives_back_without_waiting_for_it(act: Callable[[Lane], object]) -> None:
    clock = Interrupting()
    lane = Lane(RatePolicy(rpm=60, burst_s=60), clock)
    grant = taken(lane)
    clock.interruption = lambda: lane.give_back(grant)
    act(lane)
    assert grant.returned


def test_a_child_goes_on_without_its_parents_calls() -> None:
    lane = Lane(RatePolicy(rpm=60, concurrency=1, burst_s=60), FakeClock())
    grant = taken(lane)
    dead = abandoned_waiter(lane)
    lane._lock.acquire()
    lane.after_fork()
    own = taken(lane)
    lane.give_back(grant)
    held = lane.statistics()
    assert (held.in_use, held.waiting, held.requests) == (1, 0, 2)
    lane.give_back(own)
    assert lane.statistics().in_use == 0
    assert not dead.done()


class Crowd:
    """Calls from several threads, each with a loop of its own, and how many of them were in at once."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.inside = self.most = 0
        self.times: list[float] = []
        self._lock = threading.Lock()

    def run(self, threads: int, calls: int) -> None:
        """Let all of them go and wait for the last."""
        crowd = [threading.Thread(target=asyncio.run, args=(self._calls(calls),)) for _ in range(threads)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()

    async def _calls(self, count: int) -> None:
        await asyncio.gather(*(self._call() for _ in range(count)))

    async def _call(self) -> None:
        grant = self.lane.take(1) or await self.lane.wait(1)
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.times.append(self.lane.now())
        await asyncio.sleep(0)
        with self._lock:
            self.inside -= 1
        self.lane.give_back(grant)


def test_threads_never_hold_more_slots_than_there_are() -> None:
    crowd = Crowd(Lane(RatePolicy(concurrency=3), SystemClock()))
    crowd.run(threads=4, calls=100)
    held = crowd.lane.statistics()
    assert (held.granted, held.in_use, held.waiting) == (400, 0, 0)
    assert 1 < crowd.most <= 3


def test_threads_never_go_faster_than_the_pace() -> None:
    crowd = Crowd(Lane(RatePolicy(rpm=12_000, burst_s=0), SystemClock()))
    crowd.run(threads=4, calls=15)
    assert crowd.lane.statistics().granted == 60
    assert max(crowd.times) - min(crowd.times) >= 58 / 200
    assert crowd.lane.statistics().longest_wait_s < 2
