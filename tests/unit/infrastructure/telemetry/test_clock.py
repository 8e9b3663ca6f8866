from __future__ import annotations

import asyncio
import time

import pytest
from typing_extensions import override

from loomwire.infrastructure.telemetry.clock import SystemClock


def test_now_is_monotonic_time() -> None:
    before = time.monotonic()
    assert before <= SystemClock().now() <= time.monotonic()


async def test_sleep_waits_about_as_long_as_asked() -> None:
    clock = SystemClock()
    start = clock.now()
    await clock.sleep(0.01)
    assert 0.009 <= clock.now() - start < 5


async def test_a_scope_ends_with_timeout_error_at_its_instant() -> None:
    clock = SystemClock()
    with pytest.raises(TimeoutError):
        async with clock.timeout_at(clock.now() + 0.01):
            await asyncio.Event().wait()


async def test_an_instant_in_the_past_ends_the_scope_at_its_first_wait() -> None:
    clock = SystemClock()
    with pytest.raises(TimeoutError):
        async with clock.timeout_at(clock.now() - 1):
            await asyncio.Event().wait()


async def test_a_scope_that_is_left_in_time_changes_nothing() -> None:
    clock = SystemClock()
    async with clock.timeout_at(clock.now() + 60):
        await asyncio.sleep(0)


class _LateLoop(asyncio.SelectorEventLoop):
    """A loop whose own time has nothing to do with the operating system's."""

    @override
    def time(self) -> float:
        return super().time() + 1e6


def test_a_scope_counts_in_the_clocks_time_not_in_the_loops() -> None:
    async def inside() -> str:
        clock = SystemClock()
        async with clock.timeout_at(clock.now() + 60):
            await asyncio.sleep(0)
        return "in time"

    with asyncio.Runner(loop_factory=_LateLoop) as runner:
        assert runner.run(inside()) == "in time"
