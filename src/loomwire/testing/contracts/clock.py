"""The contract of `IClock`."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from typing import ClassVar

from loomwire.domain.ports.clock import IClock
from loomwire.testing.contracts.contract import (
    Contract,
    SeenError,
    claim,
    expect,
    in_threads,
    raised,
    same,
    turns,
    until,
)

_SHORT_S = 0.02
_LONG_S = 3600.0


class ClockContract(Contract):
    """Claims what `loomwire.domain.ports.clock` promises; subclass it as `TestMyClock` and give it clocks.

    Example:
        >>> from loomwire.infrastructure.telemetry.clock import SystemClock
        >>> class TestMyClock(ClockContract):
        ...     def clock(self) -> IClock:
        ...         return SystemClock()
        >>> TestMyClock().test_now_never_runs_backwards()
    """

    port: ClassVar[str] = "loomwire.domain.ports.clock.IClock"

    @abstractmethod
    def clock(self) -> IClock:
        """Return a clock."""
        raise self.unwritten("clock")

    async def let_pass(self, clock: IClock, seconds: float) -> None:
        """Let time pass; override it for a clock that stands still until it is moved."""
        start = clock.now()
        await until(lambda: clock.now() - start >= seconds, f"`now` has not moved on by {seconds:g} s")

    @claim
    async def test_now_never_runs_backwards(self) -> None:
        """`now` says monotonic seconds, which are not wall time, and moves on as time passes."""
        clock = self.clock()
        expect(abs(clock.now() - time.time()) > _LONG_S, "`now` is wall time, which somebody may set back")
        seen = [clock.now() for _ in range(1000)]
        expect(seen == sorted(seen), "`now` ran backwards")
        await self.let_pass(clock, _SHORT_S)
        expect(clock.now() >= seen[0] + _SHORT_S, "`now` stood still while time passed")

    @claim
    async def test_now_is_one_time_for_all_threads(self) -> None:
        """`now` may be asked on any thread and tells the same time there."""
        clock = self.clock()

        async def ask() -> float:
            """Return the time on the thread that asks."""
            return clock.now()

        before = clock.now()
        others = await in_threads(3, ask)
        after = clock.now()
        expect(all(before <= other <= after for other in others), f"{others!r} is not between {before} and {after}")

    @claim
    async def test_sleep_waits_as_long_as_it_says(self) -> None:
        """`sleep` waits for the seconds it was given, not less."""
        clock = self.clock()
        start = clock.now()
        sleeper = asyncio.ensure_future(clock.sleep(_SHORT_S))
        await self.let_pass(clock, _SHORT_S / 4)
        expect(not sleeper.done(), "it woke before its time")
        await self.let_pass(clock, _SHORT_S)
        await asyncio.wait({sleeper}, timeout=1.0)
        expect(sleeper.done(), "it did not wake")
        expect(clock.now() - start >= _SHORT_S * 0.99, f"it woke after {clock.now() - start} s")

    @claim
    async def test_a_sleep_of_nothing_lets_others_run(self) -> None:
        """`sleep` of 0 or less returns by itself, after others had their turn."""
        clock = self.clock()
        ran: list[str] = []
        asyncio.get_running_loop().call_soon(ran.append, "another")
        await clock.sleep(0)
        same(ran, ["another"], "who ran meanwhile")
        await clock.sleep(-1.0)

    @claim
    async def test_a_sleep_can_be_cancelled(self) -> None:
        """Cancellation ends `sleep` at once."""
        clock = self.clock()
        sleeper = asyncio.ensure_future(clock.sleep(_LONG_S))
        await turns(2)
        sleeper.cancel()
        await asyncio.wait({sleeper}, timeout=1.0)
        expect(sleeper.cancelled(), "the sleeper went on, or ended otherwise")

    @claim
    async def test_a_scope_ends_at_its_instant(self) -> None:
        """`timeout_at` cancels its block at the instant and raises the built-in TimeoutError."""
        clock = self.clock()
        work = asyncio.ensure_future(_in_scope(clock, clock.now() + _SHORT_S))
        await turns(2)
        expect(not work.done(), "it ended before its instant")
        await self.let_pass(clock, _SHORT_S)
        await raised(TimeoutError, work)

    @claim
    async def test_a_scope_in_the_past_ends_at_once(self) -> None:
        """`timeout_at` an instant that has passed ends its block at the next await."""
        clock = self.clock()
        await raised(TimeoutError, _in_scope(clock, clock.now()))
        await raised(TimeoutError, _in_scope(clock, clock.now() - _LONG_S))

    @claim
    async def test_a_block_that_is_done_in_time_is_left_alone(self) -> None:
        """A block that ends before the instant is left alone, and so is what its task does afterwards."""
        clock = self.clock()

        async def work() -> str:
            """Leave the scope early, and outlive its instant."""
            async with clock.timeout_at(clock.now() + _SHORT_S):
                await asyncio.sleep(0)
            await asyncio.ensure_future(self.let_pass(clock, _SHORT_S * 2))
            await turns(3)
            return "done"

        same(await asyncio.ensure_future(work()), "done", "what the task returned")

    @claim
    async def test_no_limit_is_a_limit_too(self) -> None:
        """An instant of infinity never comes."""
        clock = self.clock()
        async with clock.timeout_at(float("inf")):
            await turns(3)

    @claim
    async def test_cancellation_from_outside_passes_through(self) -> None:
        """Cancellation from outside leaves the scope as CancelledError, never as TimeoutError."""
        clock = self.clock()
        work = asyncio.ensure_future(_in_scope(clock, clock.now() + _LONG_S))
        await turns(2)
        work.cancel()
        await asyncio.wait({work}, timeout=1.0)
        if not work.cancelled():
            raise SeenError(f"it ended with {work.exception() if work.done() else 'nothing'!r}")

    @claim
    async def test_errors_of_the_block_pass_through(self) -> None:
        """An error of the block leaves the scope as it is, a TimeoutError of its own too."""
        clock = self.clock()
        for mine in (KeyError("the caller's own"), TimeoutError("the caller's own")):
            caught = await raised(type(mine), _raising(clock, mine))
            expect(caught is mine, f"{caught!r} left the scope")

    @claim
    async def test_a_passed_scope_leaves_the_task_uncancelled(self) -> None:
        """After the TimeoutError was handled the task goes on as if nobody had cancelled it."""
        clock = self.clock()

        async def work() -> int:
            """Meet the scope's end, and return what cancellations are left."""
            await raised(TimeoutError, _in_scope(clock, clock.now()))
            await asyncio.sleep(0)
            task = asyncio.current_task()
            return -1 if task is None else task.cancelling()

        same(await asyncio.ensure_future(work()), 0, "the number of cancellations that the task still carries")

    @claim
    async def test_the_inner_scope_ends_first(self) -> None:
        """Of two scopes the one whose instant comes first ends, and the other one's block goes on."""
        clock = self.clock()

        async def work() -> str:
            """Meet the inner scope's end inside the outer one."""
            async with clock.timeout_at(clock.now() + _LONG_S):
                await raised(TimeoutError, _in_scope(clock, clock.now()))
                await asyncio.sleep(0)
                return "went on"

        same(await asyncio.ensure_future(work()), "went on", "what the outer block did")


async def _in_scope(clock: IClock, at: float) -> str:
    async with clock.timeout_at(at):
        await asyncio.Event().wait()
    return "the end of the block"


async def _raising(clock: IClock, mine: Exception) -> None:
    async with clock.timeout_at(clock.now() + _LONG_S):
        await asyncio.sleep(0)
        raise mine
