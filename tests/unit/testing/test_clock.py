from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.testing import FakeClock


async def nap(clock: FakeClock, seconds: float, log: list[float]) -> None:
    """Sleep and note when it ended."""
    await clock.sleep(seconds)
    log.append(clock.now())


async def test_time_stands_still_until_it_is_moved() -> None:
    clock = FakeClock(5)
    await asyncio.sleep(0.001)
    assert clock.now() == 5
    clock.move(2)
    assert clock.now() == 7
    assert repr(clock) == "FakeClock(7.0)"


async def test_a_sleep_ends_when_its_time_has_come_and_not_before() -> None:
    clock, log = FakeClock(), list[float]()
    task = asyncio.ensure_future(nap(clock, 3, log))
    await clock.advance(2.9)
    assert (task.done(), clock.waiting) == (False, 1)
    await clock.advance(0.1)
    assert (task.done(), clock.waiting, log) == (True, 0, [3.0])


async def test_sleepers_wake_in_order_each_at_its_own_instant() -> None:
    clock, log = FakeClock(), list[float]()
    tasks = [asyncio.ensure_future(nap(clock, seconds, log)) for seconds in (3, 1, 2, 2)]
    await clock.advance(10)
    await asyncio.gather(*tasks)
    assert log == [1.0, 2.0, 2.0, 3.0]


async def test_what_a_sleeper_starts_is_timed_from_the_instant_it_woke() -> None:
    clock, log = FakeClock(), list[float]()

    async def chain() -> None:
        for _ in range(3):
            await nap(clock, 2, log)

    task = asyncio.ensure_future(chain())
    await clock.advance(6)
    assert (task.done(), log) == (True, [2.0, 4.0, 6.0])


async def test_many_small_sleeps_end_in_one_advance_of_their_sum() -> None:
    clock, log = FakeClock(), list[float]()

    async def chain() -> None:
        for _ in range(10):
            await nap(clock, 0.1, log)

    task = asyncio.ensure_future(chain())
    await clock.advance(1.0)
    assert task.done()


@pytest.mark.parametrize("seconds", [0, -1])
async def test_a_sleep_without_seconds_lets_others_run_once(seconds: float) -> None:
    clock, log = FakeClock(), list[float]()
    task = asyncio.ensure_future(nap(clock, 0, log))
    await clock.sleep(seconds)
    await task
    assert (log, clock.now()) == ([0.0], 0.0)


async def test_time_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match="backwards"):
        FakeClock().move(-1)
    with pytest.raises(ValueError, match="backwards"):
        await FakeClock().advance(-1)


async def test_a_cancelled_sleep_is_forgotten() -> None:
    clock = FakeClock()
    task = asyncio.ensure_future(clock.sleep(5))
    await clock.advance(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert clock.waiting == 0
    await clock.advance(10)


async def test_a_sleep_cancelled_in_the_turn_in_which_it_wakes_is_harmless() -> None:
    clock = FakeClock()
    task = asyncio.ensure_future(clock.sleep(5))
    await clock.advance(1)
    clock.move(4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_scope_ends_with_timeout_error_at_its_instant() -> None:
    clock = FakeClock(100)

    async def wait() -> None:
        async with clock.timeout_at(110):
            await asyncio.Event().wait()

    task = asyncio.ensure_future(wait())
    await clock.advance(9)
    assert not task.done()
    await clock.advance(1)
    with pytest.raises(TimeoutError):
        await task
    assert clock.waiting == 0


async def test_an_instant_in_the_past_ends_the_scope_at_its_first_wait() -> None:
    clock = FakeClock(100)
    with pytest.raises(TimeoutError):
        async with clock.timeout_at(100):
            await asyncio.Event().wait()


async def test_a_scope_that_is_left_in_time_leaves_nothing_behind() -> None:
    clock = FakeClock()
    async with clock.timeout_at(10):
        await clock.sleep(0)
    assert clock.waiting == 0
    await clock.advance(20)


async def test_a_scope_left_in_the_turn_in_which_it_expires_does_not_cancel_its_task() -> None:
    clock = FakeClock()
    async with clock.timeout_at(10):
        clock.move(10)
    await asyncio.sleep(0.001)


async def test_cancellation_from_outside_is_no_timeout() -> None:
    clock = FakeClock()

    async def wait() -> None:
        async with clock.timeout_at(10):
            await asyncio.Event().wait()

    task = asyncio.ensure_future(wait())
    await clock.advance(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert clock.waiting == 0


async def test_scopes_nest_and_the_inner_one_ends_alone() -> None:
    clock, log = FakeClock(), list[str]()

    async def wait() -> None:
        async with clock.timeout_at(10):
            try:
                async with clock.timeout_at(5):
                    await asyncio.Event().wait()
            except TimeoutError:
                log.append("inner")
            await asyncio.Event().wait()

    task = asyncio.ensure_future(wait())
    await clock.advance(5)
    assert log == ["inner"]
    await clock.advance(5)
    with pytest.raises(TimeoutError):
        await task


def test_a_clock_wakes_sleepers_of_another_thread_and_loop() -> None:
    clock = FakeClock()
    asleep = threading.Event()

    def work() -> None:
        async def main() -> None:
            task = asyncio.ensure_future(clock.sleep(5))
            await asyncio.sleep(0)
            asleep.set()
            await task

        asyncio.run(main())

    thread = threading.Thread(target=work)
    thread.start()
    assert asleep.wait(5)
    clock.move(5)
    thread.join(5)
    assert not thread.is_alive()


def test_timers_of_a_closed_loop_are_dropped() -> None:
    clock = FakeClock()

    async def forget() -> None:
        clock.timeout_at(1)
        scope = clock.timeout_at(5)
        await scope.__aenter__()

    asyncio.run(forget())
    clock.move(5)
    assert clock.waiting == 0


@given(st.lists(st.integers(1, 20), max_size=8), st.lists(st.integers(1, 15), max_size=6))
async def test_every_sleep_ends_at_its_instant_however_time_is_cut(sleeps: list[int], steps: list[int]) -> None:
    clock, log = FakeClock(), list[float]()
    tasks = [asyncio.ensure_future(nap(clock, seconds, log)) for seconds in sleeps]
    for step in steps:
        await clock.advance(step)
    assert log == sorted(seconds for seconds in sleeps if seconds <= sum(steps))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert clock.waiting == 0
