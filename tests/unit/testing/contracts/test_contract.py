"""How claims are run: on a loop of their own, within their patience, with a message that says what was promised."""

from __future__ import annotations

import asyncio
import gc
import inspect
import itertools
import threading
from collections.abc import Callable
from typing import ClassVar
from unittest import SkipTest

import pytest

from loomwire.testing.contracts.contract import (
    Contract,
    ContractBrokenError,
    SeenError,
    abilities_of,
    cancelled_after,
    claim,
    expect,
    in_threads,
    needs,
    raised,
    same,
    until,
)


class Promises(Contract):
    """Claims that hold, that do not, and that hang."""

    port: ClassVar[str] = "somewhere.IPort"
    patience_s: ClassVar[float] = 0.2
    can_fly: ClassVar[bool] = False

    @claim
    async def test_holds(self) -> None:
        """It holds."""
        await asyncio.sleep(0)

    @claim
    async def test_breaks(self) -> None:
        """Two and two
        are five.

        A second paragraph.
        """
        same(2 + 2, 5, "two and two")

    @claim
    async def test_raises(self) -> None:
        """It raises nothing."""
        raise KeyError("lost")

    @claim
    async def test_hangs(self) -> None:
        """It ends."""
        await asyncio.Event().wait()

    @claim
    async def test_ends_late_and_badly(self) -> None:
        """It ends in time."""
        try:
            await asyncio.Event().wait()
        finally:
            raise KeyError("too late")

    @claim
    async def test_hangs_for_good(self) -> None:
        """It ends, whatever is done about it."""
        for _ in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    @claim
    async def test_is_cancelled(self) -> None:
        """Nobody cancels it."""
        raise asyncio.CancelledError

    @claim
    async def test_litters(self) -> None:
        """It leaves nothing."""
        self.left = asyncio.create_task(asyncio.Event().wait(), name="a forgotten task")

    @claim
    @needs("can_fly")
    async def test_flies(self) -> None:
        """It flies."""


def test_a_claim_that_holds_passes() -> None:
    Promises().test_holds()


def test_a_message_says_who_broke_which_promise_and_what_was_seen() -> None:
    with pytest.raises(ContractBrokenError) as caught:
        Promises().test_breaks()
    assert str(caught.value) == (
        "Promises breaks a promise of somewhere.IPort\n"
        "  promise: Two and two are five.\n"
        "  seen: two and two is 4 and not 5"
    )
    assert caught.value.__cause__ is None


def test_the_error_of_an_implementation_is_kept_as_the_cause() -> None:
    with pytest.raises(ContractBrokenError, match=r"seen: KeyError: 'lost'") as caught:
        Promises().test_raises()
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_claim_that_hangs_fails_after_its_patience(breach: Callable[[Contract, str], str]) -> None:
    assert "it had not ended after 0.2 s" in breach(Promises(), "test_hangs")
    assert "it had not ended after 0.2 s" in breach(Promises(), "test_hangs_for_good")


def test_a_cancellation_that_nobody_asked_for_fails(breach: Callable[[Contract, str], str]) -> None:
    assert "CancelledError" in breach(Promises(), "test_is_cancelled")


def test_a_task_that_is_left_behind_fails(breach: Callable[[Contract, str], str]) -> None:
    assert "tasks were left behind: a forgotten task" in breach(Promises(), "test_litters")


def test_what_a_suite_cannot_do_is_skipped_with_a_reason() -> None:
    with pytest.raises(SkipTest, match="Promises says can_fly = False"):
        Promises().test_flies()
    assert abilities_of(Promises.test_flies) == ("can_fly",)
    assert abilities_of(Promises.test_holds) == ()


def test_a_claim_is_a_plain_function_with_its_own_name() -> None:
    assert not inspect.iscoroutinefunction(Promises.test_holds)
    assert Promises.test_holds.__doc__ == "It holds."


def test_expect_says_what_was_seen() -> None:
    expect(True, "nothing")
    with pytest.raises(SeenError, match="nothing at all"):
        expect([], "nothing at all")


async def test_raised_tells_the_right_error_from_others_and_from_none() -> None:
    async def work(error: Exception | None) -> str:
        if error is not None:
            raise error
        return "an answer"

    lost = KeyError("lost")
    assert await raised(KeyError, work(lost)) is lost
    with pytest.raises(SeenError, match="ValueError in place of KeyError: bad"):
        await raised(KeyError, work(ValueError("bad")))
    with pytest.raises(SeenError, match="returned 'an answer' in place of raising KeyError"):
        await raised(KeyError, work(None))


async def test_cancelled_after_tells_whether_it_met_the_work_alive() -> None:
    async def work(waits: int) -> str:
        for _ in range(waits):
            await asyncio.sleep(0)
        return "done"

    assert not await cancelled_after(5, work(0))
    assert await cancelled_after(2, work(100))


async def test_until_ends_with_what_was_not_seen() -> None:
    await until(lambda: True, "nothing")
    with pytest.raises(SeenError, match=r"after 0\.01 s the light was still red"):
        await until(lambda: False, "the light was still red", within_s=0.01)


async def test_threads_run_at_the_same_time_on_loops_of_their_own() -> None:
    async def work() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    assert len({*await in_threads(3, work), asyncio.get_running_loop()}) == 4


async def test_threads_that_go_on_are_waited_for_before_the_first_error_is_told() -> None:
    ended: list[str] = []
    numbers = itertools.count()

    async def work() -> None:
        if next(numbers) == 0:
            raise KeyError("the first")
        await asyncio.sleep(0.05)
        ended.append("another")

    with pytest.raises(KeyError, match="the first"):
        await in_threads(3, work)
    assert ended == ["another"] * 2


async def test_a_thread_that_hangs_cannot_keep_the_interpreter_from_exiting() -> None:
    async def work() -> bool:
        return threading.current_thread().daemon

    assert await in_threads(2, work) == [True, True]


def test_an_error_that_comes_after_the_patience_is_not_complained_about_twice(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ContractBrokenError, match=r"it had not ended after 0\.2 s"):
        Promises().test_ends_late_and_badly()
    gc.collect()
    assert not caplog.records
