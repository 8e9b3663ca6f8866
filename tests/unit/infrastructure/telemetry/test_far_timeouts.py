"""Far time limits end as near ones do, and cost no timer each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.telemetry.far_timeouts import FarTimeout, FarTimeouts


def timers() -> int:
    """Return how many timers of the running loop have not rung and were not cancelled."""
    scheduled: list[asyncio.TimerHandle] = vars(asyncio.get_running_loop())["_scheduled"]
    return sum(not timer.cancelled() for timer in scheduled)


@asynccontextmanager
async def limit(left_s: float) -> AsyncGenerator[None]:
    """A limit of limits of its own."""
    async with FarTimeout(FarTimeouts(), left_s):
        yield


@pytest.mark.parametrize("left_s", [0.0, 0.02, 1.01])
async def test_a_limit_ends_the_wait_at_its_instant_with_a_timeout_error(left_s: float) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(TimeoutError):
        async with limit(left_s):
            await asyncio.Event().wait()
    assert loop.time() - began >= left_s - 0.01
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_limit_that_is_not_reached_changes_nothing_and_leaves_no_timer_of_its_own() -> None:
    limits = FarTimeouts()
    before = timers()
    for _ in range(1_000):
        async with FarTimeout(limits, 900.0):
            await asyncio.sleep(0)
    assert timers() - before <= 30


async def test_limits_of_one_second_ring_each_at_its_own_instant() -> None:
    limits, loop, rung = FarTimeouts(), asyncio.get_running_loop(), []

    async def wait(left_s: float) -> None:
        began = loop.time()
        with pytest.raises(TimeoutError):
            async with FarTimeout(limits, left_s):
                await asyncio.Event().wait()
        rung.append((left_s, loop.time() - began))

    await asyncio.gather(*(wait(0.01 * number) for number in range(1, 6)))
    assert [left_s for left_s, _ in rung] == sorted(left_s for left_s, _ in rung)
    assert all(took_s >= left_s - 0.01 for left_s, took_s in rung)


async def test_a_callers_own_cancellation_stays_one() -> None:
    async def wait() -> None:
        async with limit(60.0):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_that_comes_with_the_limit_wins() -> None:
    async def wait() -> None:
        async with limit(0.01):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                task.cancel()
                raise

    task = asyncio.create_task(wait())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_body_is_not_replaced_when_the_limit_is_reached() -> None:
    async def wait() -> None:
        async with limit(0.01):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise ValueError("of the body") from None

    with pytest.raises(ValueError, match="of the body"):
        await wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


def test_loops_that_follow_one_another_on_a_thread_and_threads_beside_it_have_limits_of_their_own() -> None:
    clock = SystemClock()

    async def inside() -> None:
        async with clock.timeout_at(clock.now() + 60):
            await asyncio.sleep(0)

    def three() -> None:
        for _ in range(3):
            asyncio.run(inside())

    beside = threading.Thread(target=three)
    beside.start()
    three()
    beside.join(10)
    assert not beside.is_alive()


async def test_an_endless_limit_never_ends() -> None:
    clock = SystemClock()
    async with clock.timeout_at(float("inf")):
        await asyncio.sleep(0)


def test_a_limit_outside_a_task_is_refused() -> None:
    step = FarTimeout(FarTimeouts(), 60.0).__aenter__()
    loop = asyncio.new_event_loop()
    try:
        failed: list[BaseException] = []

        def drive() -> None:
            try:
                step.send(None)
            except RuntimeError as error:
                failed.append(error)
            loop.stop()

        loop.call_soon(drive)
        loop.run_forever()
        assert [str(error) for error in failed] == ["a time limit needs a task"]
    finally:
        loop.close()
