"""Alarms interrupt one wait and leave every other cancellation alone; permits are fair and never lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.requests import Bound
from loomwire.infrastructure.transport.failures import Failed
from loomwire.infrastructure.transport.waiting import Alarm, Permits


def alarm(after_s: float | None = None, idle_s: float | None = None) -> Alarm:
    bound = None if after_s is None else Bound(time.monotonic() + after_s, "attempt")
    alarm = Alarm(asyncio.get_running_loop(), bound)
    alarm.limit_silence(idle_s)
    return alarm


async def hang() -> None:
    await asyncio.Event().wait()


async def test_without_limits_an_alarm_only_waits() -> None:
    assert await alarm().wait(asyncio.sleep(0, "done")) == "done"


async def test_a_wait_ends_at_the_bound_and_the_task_is_not_cancelled() -> None:
    with pytest.raises(Failed) as caught:
        await alarm(0.01).wait(hang())
    assert caught.value.reason == "attempt"
    assert caught.value.__context__ is None
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_wait_ends_after_its_silence_but_several_short_ones_do_not() -> None:
    bell = alarm(idle_s=0.2)
    for _ in range(6):
        await bell.wait(asyncio.sleep(0.04))
    with pytest.raises(Failed) as caught:
        await bell.wait(hang())
    assert caught.value.reason == "idle"


async def test_time_between_waits_is_no_silence() -> None:
    bell = alarm(idle_s=0.1)
    await bell.wait(asyncio.sleep(0))
    for _ in range(2):
        await asyncio.sleep(0.06)
    await bell.wait(asyncio.sleep(0))
    bell.stop()


async def test_a_bound_that_passed_between_waits_ends_the_next_one_at_once() -> None:
    bell = alarm(0.01)
    await bell.wait(asyncio.sleep(0))
    await asyncio.sleep(0.02)
    with pytest.raises(Failed) as caught:
        await bell.wait(hang())
    assert caught.value.reason == "attempt"


async def test_the_earlier_of_bound_and_silence_names_the_reason() -> None:
    with pytest.raises(Failed) as caught:
        await alarm(0.01, idle_s=5).wait(hang())
    assert caught.value.reason == "attempt"
    with pytest.raises(Failed) as caught:
        await alarm(5, idle_s=0.01).wait(hang())
    assert caught.value.reason == "idle"


async def test_a_cancellation_from_outside_passes_through() -> None:
    task = asyncio.ensure_future(alarm(5).wait(hang()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_when_alarm_and_outside_cancel_together_the_outside_wins() -> None:
    bell = alarm(0.01)
    outer = asyncio.current_task()
    assert outer is not None

    async def stubborn() -> None:
        try:
            await hang()
        except asyncio.CancelledError:
            outer.cancel()
            raise

    with pytest.raises(asyncio.CancelledError):
        await bell.wait(stubborn())
    assert outer.uncancel() == 0


async def test_an_alarm_inside_a_timeout_leaves_the_timeout_intact() -> None:
    async def outlive_an_alarm() -> None:
        async with asyncio.timeout(0.03):
            with pytest.raises(Failed):
                await alarm(0.01).wait(hang())
            await hang()

    with pytest.raises(TimeoutError):
        await outlive_an_alarm()


Step: TypeAlias = Callable[[], Coroutine[None, None, None]]


async def swallow() -> None:
    try:
        await hang()
    except asyncio.CancelledError:
        return


async def replace_by_another_error() -> None:
    try:
        await hang()
    except asyncio.CancelledError:
        raise ValueError from None


@pytest.mark.parametrize("step", [swallow, replace_by_another_error])
async def test_a_step_that_hides_the_cancellation_still_ends_in_the_alarm(
    step: Step,
) -> None:
    with pytest.raises(Failed):
        await alarm(0.01).wait(step())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


def test_an_alarm_needs_a_task() -> None:
    loop = asyncio.new_event_loop()
    waiting = Alarm(loop, Bound(0.0)).wait(asyncio.sleep(0))
    with pytest.raises(RuntimeError, match="task"):
        waiting.send(None)
    loop.close()


async def test_permits_are_handed_out_in_the_order_of_the_line() -> None:
    loop = asyncio.get_running_loop()
    permits = Permits(loop, 1)
    assert permits.take()
    served: list[int] = []

    async def stand(number: int) -> None:
        assert await permits.wait(loop.time() + 5)
        served.append(number)
        permits.give_back()

    tasks = [asyncio.create_task(stand(number)) for number in range(5)]
    await asyncio.sleep(0)
    assert permits.waiting == 5
    assert not permits.take()
    permits.give_back()
    assert not permits.take(), "nobody overtakes the line"
    await asyncio.gather(*tasks)
    assert served == [0, 1, 2, 3, 4]
    assert (permits.out, permits.waiting) == (0, 0)


async def test_a_waiter_gives_up_in_time_and_leaves_no_trace() -> None:
    loop = asyncio.get_running_loop()
    permits = Permits(loop, 1)
    permits.take()
    assert not await permits.wait(loop.time() + 0.01)
    assert (permits.out, permits.waiting) == (1, 0)


async def test_a_permit_granted_to_a_waiter_that_is_cancelled_goes_to_the_next() -> None:
    loop = asyncio.get_running_loop()
    permits = Permits(loop, 1)
    permits.take()
    first = asyncio.create_task(permits.wait(loop.time() + 5))
    second = asyncio.create_task(permits.wait(loop.time() + 5))
    await asyncio.sleep(0)
    permits.give_back()
    first.cancel()
    assert await second
    assert first.cancelled()
    permits.give_back()
    assert (permits.out, permits.waiting) == (0, 0)


async def test_a_dismissed_line_gets_nothing() -> None:
    loop = asyncio.get_running_loop()
    permits = Permits(loop, 1)
    permits.take()
    waiting = asyncio.create_task(permits.wait(loop.time() + 5))
    await asyncio.sleep(0)
    permits.dismiss()
    assert not await waiting
    assert (permits.out, permits.waiting) == (1, 0)


class Line:
    """Three permits, and everybody who holds or waits for one."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.permits = Permits(self.loop, 3)
        self.held = 0
        self.waiters: list[asyncio.Task[bool]] = []

    async def move(self, move: str, number: int) -> None:
        """Make one move of the game, if it is possible."""
        if move == "take":
            self.held += self.permits.take()
        elif move == "wait" and self.permits.out == 3:
            self.waiters.append(asyncio.create_task(self.permits.wait(self.loop.time() + 60)))
        elif move == "cancel" and self.waiters:
            self.waiters[number % len(self.waiters)].cancel()
        elif move == "give" and self.held:
            self.held -= 1
            self.permits.give_back()
        elif move == "turn":
            await asyncio.sleep(0)
        assert 0 <= self.permits.out <= 3

    async def end(self) -> None:
        """Send everybody home; whoever got a permit gives it back."""
        for _ in range(self.held):
            self.permits.give_back()
        for each in self.waiters:
            each.cancel()
        results = await asyncio.gather(*self.waiters, return_exceptions=True)
        for _ in range(sum(each is True for each in results)):
            self.permits.give_back()


@given(st.lists(st.tuples(st.sampled_from(["take", "wait", "cancel", "give", "turn"]), st.integers(0, 9)), max_size=60))
def test_permits_are_never_more_than_the_limit_and_never_lost(moves: list[tuple[str, int]]) -> None:
    async def play() -> None:
        line = Line()
        for move, number in moves:
            await line.move(move, number)
        await line.end()
        assert (line.permits.out, line.permits.waiting) == (0, 0)

    asyncio.run(play())
