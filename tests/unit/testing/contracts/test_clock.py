"""The clock's contract notices every broken promise."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import ClassVar

import pytest
from typing_extensions import override

from loomwire.domain.ports.clock import IClock
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.testing.contracts.clock import ClockContract
from loomwire.testing.contracts.contract import Contract


class Clock(IClock):
    """A clock that keeps its promises; the others break one each."""

    def __init__(self) -> None:
        self.inner = SystemClock()

    @override
    def now(self) -> float:
        return self.inner.now()

    @override
    async def sleep(self, seconds: float) -> None:
        await self.inner.sleep(seconds)

    @override
    def timeout_at(self, at: float) -> AbstractAsyncContextManager[object]:
        return self.inner.timeout_at(at)


class Backwards(Clock):
    @override
    def now(self) -> float:
        return -time.monotonic()


class WallTime(Clock):
    @override
    def now(self) -> float:
        return time.time()


class PerThread(Clock):
    @override
    def now(self) -> float:
        return time.monotonic() + threading.get_ident()


class Impatient(Clock):
    @override
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class Oversleeps(Clock):
    @override
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds + 60)


class Selfish(Clock):
    @override
    async def sleep(self, seconds: float) -> None:
        if seconds > 0:
            await asyncio.sleep(seconds)


class Stubborn(Clock):
    @override
    async def sleep(self, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            return


class NoScope(Clock):
    @override
    @asynccontextmanager
    async def timeout_at(self, at: float) -> AsyncGenerator[object]:
        yield self


class FutureOnly(Clock):
    @override
    @asynccontextmanager
    async def timeout_at(self, at: float) -> AsyncGenerator[object]:
        if at <= self.now():
            yield self
        else:
            async with self.inner.timeout_at(at):
                yield self


class NoInfinity(Clock):
    @override
    def timeout_at(self, at: float) -> AbstractAsyncContextManager[object]:
        return self.inner.timeout_at(float(int(at * 1000)) / 1000)


class Wrong(Clock):
    """Its scope, made by hand, is wrong in one way or another."""

    always_timeout = False
    uncancels = True
    goes_on = False

    @override
    @asynccontextmanager
    async def timeout_at(self, at: float) -> AsyncGenerator[object]:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        fired = False

        def fire() -> None:
            nonlocal fired
            fired = True
            if task is not None:
                task.cancel()

        timer = loop.call_later(max(at - self.now(), 0), fire)
        try:
            yield self
        except asyncio.CancelledError:
            if not fired and not self.always_timeout:
                raise
            if self.uncancels and task is not None:
                task.uncancel()
            raise TimeoutError from None
        finally:
            if not self.goes_on:
                timer.cancel()


class TakesAllForItsOwn(Wrong):
    always_timeout = True


class NeverUncancels(Wrong):
    uncancels = False


class GoesOn(Wrong):
    goes_on = True


class HidesErrors(Clock):
    @override
    @asynccontextmanager
    async def timeout_at(self, at: float) -> AsyncGenerator[object]:
        try:
            async with self.inner.timeout_at(at):
                yield self
        except KeyError:
            raise TimeoutError from None


class OneScopeOnly(Clock):
    """The outermost scope decides."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0

    @override
    @asynccontextmanager
    async def timeout_at(self, at: float) -> AsyncGenerator[object]:
        self.depth += 1
        try:
            async with self.inner.timeout_at(at if self.depth == 1 else self.now() + 3600):
                yield self
        finally:
            self.depth -= 1


class Suite(ClockContract):
    patience_s: ClassVar[float] = 5.0

    def __init__(self, broken: type[Clock]) -> None:
        self.broken = broken

    @override
    def clock(self) -> IClock:
        return self.broken()


class HastySuite(Suite):
    """For those that hang: they need not be waited for."""

    patience_s: ClassVar[float] = 0.3


BROKEN: list[tuple[str, type[Clock], str]] = [
    ("now_never_runs_backwards", WallTime, "`now` is wall time"),
    ("now_never_runs_backwards", Backwards, "`now` ran backwards"),
    ("now_is_one_time_for_all_threads", PerThread, "is not between"),
    ("sleep_waits_as_long_as_it_says", Impatient, "it woke before its time"),
    ("sleep_waits_as_long_as_it_says", Oversleeps, "it did not wake"),
    ("a_sleep_of_nothing_lets_others_run", Selfish, "who ran meanwhile is []"),
    ("a_sleep_can_be_cancelled", Stubborn, "the sleeper went on, or ended otherwise"),
    ("a_scope_ends_at_its_instant", NoScope, "it had not ended"),
    ("a_scope_in_the_past_ends_at_once", FutureOnly, "it had not ended"),
    ("a_block_that_is_done_in_time_is_left_alone", GoesOn, "CancelledError"),
    ("no_limit_is_a_limit_too", NoInfinity, "OverflowError"),
    ("cancellation_from_outside_passes_through", TakesAllForItsOwn, "it ended with"),
    ("errors_of_the_block_pass_through", HidesErrors, "TimeoutError in place of KeyError"),
    ("a_passed_scope_leaves_the_task_uncancelled", NeverUncancels, "still carries is 1"),
    ("the_inner_scope_ends_first", OneScopeOnly, "it had not ended"),
]


@pytest.mark.parametrize(("claim", "broken", "seen"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_promise_is_noticed(
    claim: str, broken: type[Clock], seen: str, breach: Callable[[Contract, str], str]
) -> None:
    suite = (HastySuite if "not ended" in seen else Suite)(broken)
    assert seen in breach(suite, f"test_{claim}")


def test_every_claim_of_the_contract_is_proved_to_fail() -> None:
    claims = {name.removeprefix("test_") for name in dir(ClockContract) if name.startswith("test_")}
    assert claims == {claim for claim, _, _ in BROKEN}
