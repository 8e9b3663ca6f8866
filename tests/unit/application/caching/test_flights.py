"""What several ask for at once is done once, in a task that somebody owns, whatever becomes of those who wait."""

from __future__ import annotations

import asyncio
import copy
import gc
import math
import threading
import weakref
from collections.abc import Awaitable, Callable

import pytest
from typing_extensions import override

from loomwire.application.caching.flight import fresh
from loomwire.application.caching.flights import AHEAD_S, Flights
from loomwire.domain.errors import (
    AllTargetsFailedError,
    ClientRemovedError,
    LLMError,
    LLMTemporaryError,
    LLMTimeoutError,
)
from loomwire.domain.reports.steps import Step
from support.chains import turns
from support.forking import is_true_in_child


class Work:
    """Work that waits for a word, and counts how often it was begun and how it ended."""

    def __init__(self, *ends: str | BaseException) -> None:
        self.ends = list(ends) or ["done"]
        self.go = asyncio.Event()
        self.begun = 0
        self.cancelled = 0
        self.cleaned = asyncio.Event()
        self.cleaned.set()

    async def __call__(self) -> str:
        number, self.begun = self.begun, self.begun + 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            # What it holds is back only after a while.
            await self.cleaned.wait()
            raise
        end = self.ends[min(number, len(self.ends) - 1)]
        if isinstance(end, BaseException):
            raise end
        return end


async def ended(*tasks: asyncio.Task[tuple[str, bool]]) -> list[tuple[str, bool] | BaseException]:
    """Return what became of tasks."""
    return list(await asyncio.gather(*tasks, return_exceptions=True))


def asking(
    flights: Flights, work: Callable[[], Awaitable[str]], until: float = math.inf
) -> asyncio.Task[tuple[str, bool]]:
    """Ask for the one key of these tests."""
    return asyncio.create_task(flights.joined("key", work, until=until))


def others() -> int:
    """Return how many tasks of flights there are."""
    return sum("Flight" in repr(task) for task in asyncio.all_tasks())


async def test_one_works_and_everybody_gets_what_he_found() -> None:
    flights, work = Flights(), Work()
    asked = [asking(flights, work) for _ in range(1000)]
    await turns()
    before = flights.landings()
    assert flights.is_awaited("key")
    work.go.set()
    assert await ended(*asked) == [("done", False)] + [("done", True)] * 999
    assert (work.begun, others(), flights.is_awaited("key")) == (1, 0, False)
    assert flights.landed_since("key", before)
    assert not flights.landed_since("another", before)
    assert not flights.landed_since("key", flights.landings())


async def test_whoever_comes_after_the_end_begins_anew() -> None:
    flights, work = Flights(), Work("first", "second")
    work.go.set()
    assert await flights.joined("key", work) == ("first", False)
    assert await flights.joined("key", work) == ("second", False)


async def test_keys_do_not_share() -> None:
    flights, work = Flights(), Work()
    work.go.set()
    found = await asyncio.gather(*(flights.joined(number, work) for number in range(300)))
    assert work.begun == len(found) == 300
    # Only so many are remembered.
    assert (flights.landed_since(0, 0), flights.landed_since(299, 0)) == (False, True)


async def test_the_first_one_may_be_cancelled_and_nobody_notices() -> None:
    flights, work = Flights(), Work()
    first, second, third = (asking(flights, work) for _ in range(3))
    await turns()
    first.cancel()
    await turns()
    assert (first.cancelled(), work.cancelled) == (True, 0)
    work.go.set()
    assert await ended(second, third) == [("done", True)] * 2
    assert work.begun == 1


async def test_the_last_one_who_leaves_cancels_the_work_and_waits_until_it_has_ended() -> None:
    flights, work = Flights(), Work()
    work.cleaned.clear()
    first, second = (asking(flights, work) for _ in range(2))
    await turns()
    first.cancel()
    second.cancel()
    await turns()
    assert (work.cancelled, first.done(), second.done()) == (1, True, False)
    work.cleaned.set()
    await turns()
    assert (second.cancelled(), others()) == (True, 0)
    assert flights.landings() == 0


async def test_a_second_cancellation_reaches_the_work_and_does_not_leave_it_behind() -> None:
    flights, work = Flights(), Work()
    work.cleaned.clear()
    only = asking(flights, work)
    await turns()
    only.cancel()
    await turns()
    only.cancel()
    await turns()
    assert (only.cancelled(), others()) == (True, 0)


async def test_work_that_does_not_mind_cancellations_is_waited_for_all_the_same() -> None:
    flights, go = Flights(), asyncio.Event()

    async def stubborn() -> str:
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    only = asking(flights, stubborn)
    for _ in range(3):
        await turns()
        only.cancel()
    await turns()
    assert not only.done()
    go.set()
    await turns()
    assert (only.cancelled(), others()) == (True, 0)


async def test_a_newcomer_begins_anew_while_the_last_one_is_on_its_way_out() -> None:
    flights, work = Flights(), Work("first", "second")
    work.cleaned.clear()
    last = asking(flights, work)
    await turns()
    last.cancel()
    await turns()
    newcomer = asking(flights, work)
    await turns()
    assert work.begun == 2
    work.cleaned.set()
    work.go.set()
    assert await newcomer == ("second", False)
    assert last.cancelled()


async def test_who_waits_for_work_that_was_ended_before_its_first_step_is_told() -> None:
    flights, work = Flights(), Work()
    only = asking(flights, work)
    await asyncio.sleep(0)
    await flights.aclose()
    assert isinstance((await ended(only))[0], ClientRemovedError)
    assert (work.begun, others()) == (0, 0)


async def test_everybody_gets_an_error_of_his_own_and_it_is_forgotten() -> None:
    flights, cause = Flights(), ValueError("why")
    failed = LLMTemporaryError("down", original_error=cause, retry_after=3.0)
    work = Work(failed, "done")
    asked = [asking(flights, work) for _ in range(3)]
    await turns()
    work.go.set()
    errors = [error for error in await ended(*asked) if isinstance(error, LLMTemporaryError)]
    assert [error.retry_after for error in errors] == [3.0] * 3
    assert len({id(error) for error in (*errors, failed)}) == 4
    assert all(error.original_error is cause for error in errors)
    errors[0].with_step(Step("above"))
    assert errors[1].steps == failed.steps == ()
    assert failed.__traceback__ is None
    assert await flights.joined("key", work) == ("done", False)


async def test_an_error_of_a_lone_caller_is_the_error_itself_and_keeps_nothing_alive() -> None:
    flights, failed = Flights(), LLMTemporaryError("down")
    work = Work(failed)
    work.go.set()
    gone = weakref.ref(work)
    with pytest.raises(LLMTemporaryError) as raised:
        await flights.joined("key", work)
    assert raised.value is failed
    del raised, work
    gc.disable()
    try:
        failed.__traceback__ = None
        await turns()
        assert gone() is None
    finally:
        gc.enable()


class Uncopied(Exception):  # noqa: N818  # what a host calls its own
    """An error that cannot be copied."""

    @override
    def __reduce__(self) -> str:
        raise TypeError("no")


def test_a_foreign_error_is_copied_where_it_can_be() -> None:
    wrong = ValueError("no")
    assert fresh(wrong) is not wrong
    assert str(fresh(wrong)) == "no"
    odd = fresh(Uncopied())
    assert isinstance(odd, LLMError)
    assert (odd.reason, "Uncopied" in odd.message) == ("internal", True)


DEADLINE = LLMTimeoutError("too late", reason="deadline")
BEHIND_TARGETS = AllTargetsFailedError("none", errors=[LLMTemporaryError("down"), DEADLINE])


@pytest.mark.parametrize("late", [DEADLINE, BEHIND_TARGETS, LLMTimeoutError("line", reason="queue")])
async def test_who_has_more_time_does_not_share_that_another_ran_out_of_it(late: LLMError) -> None:
    flights, work = Flights(), Work(copy.copy(late), "done")
    first = asking(flights, work, until=10.0)
    same = asking(flights, work, until=10.0 + AHEAD_S / 2)
    more, much = asking(flights, work, until=10.0 + AHEAD_S), asking(flights, work)
    await turns()
    work.go.set()
    ends = await ended(first, same, more, much)
    assert [isinstance(end, LLMError) for end in ends[:2]] == [True, True]
    assert ends[2:] == [("done", False), ("done", True)]
    assert work.begun == 2


async def test_any_other_error_is_shared_whoever_has_more_time() -> None:
    flights, work = Flights(), Work(AllTargetsFailedError("none", errors=[]), "done")
    asked = asking(flights, work, until=1.0), asking(flights, work)
    await turns()
    work.go.set()
    assert all(isinstance(end, AllTargetsFailedError) for end in await ended(*asked))
    assert work.begun == 1


async def test_a_cancellation_that_comes_from_within_is_the_leaders_and_the_others_begin_anew() -> None:
    flights, work = Flights(), Work(asyncio.CancelledError(), "done")
    first, second, third = (asking(flights, work) for _ in range(3))
    await turns()
    work.go.set()
    ends = await ended(first, second, third)
    assert isinstance(ends[0], asyncio.CancelledError)
    assert ends[1:] == [("done", False), ("done", True)]


async def test_who_may_not_share_a_flight_begins_anew() -> None:
    flights, work = Flights(), Work(LLMTemporaryError("down"), "done", "third")
    first = asking(flights, work)
    await turns()
    second = asyncio.create_task(flights.joined("key", work, unless=lambda flight: flight.error is not None))
    await turns()
    work.go.set()
    assert (await ended(first, second))[1] == ("done", False)
    assert (await flights.joined("key", work, unless=lambda _: True))[0] == "third"


async def test_one_that_takes_anothers_place_leaves_it_to_those_who_wait_for_it() -> None:
    flights, work = Flights(), Work("first", "second")
    first = asking(flights, work)
    await turns()
    other, is_mine = flights.boarded("key", work, unless=lambda _: True)
    assert is_mine
    third = asking(flights, work)
    await turns()
    work.go.set()
    await other.landing()
    await other.landing()
    assert not other.left()
    assert other.result() == "second"
    assert await ended(first, third) == [("first", False), ("second", True)]


async def test_work_that_was_too_slow_for_one_goes_on_for_those_who_wait_and_is_joined_by_nobody_else() -> None:
    flights, work = Flights(), Work("first", "second")
    patient = asking(flights, work)
    hasty = asyncio.create_task(flights.joined("key", work, until=1.0, now=lambda: 1.0))
    await turns()
    hasty.cancel()
    await turns()
    newcomer = asking(flights, work)
    await turns()
    work.go.set()
    assert await ended(patient, newcomer) == [("first", False), ("second", False)]
    assert (hasty.cancelled(), work.begun, work.cancelled, others()) == (True, 2, 0, 0)


async def test_work_behind_is_done_once_and_may_be_joined_and_left() -> None:
    flights, work = Flights(), Work()
    assert flights.behind("key", work)
    assert not flights.behind("key", work)
    assert not flights.is_awaited("key")
    joined, left = asking(flights, work), asking(flights, work)
    await turns()
    left.cancel()
    joined.cancel()
    await turns()
    assert (left.cancelled(), joined.cancelled(), work.cancelled) == (True, True, 0)
    last = asking(flights, work)
    await turns()
    work.go.set()
    assert await last == ("done", True)
    assert (work.begun, others()) == (1, 0)


async def test_nobody_is_told_of_errors_behind() -> None:
    flights, work, told = Flights(), Work(LLMTemporaryError("down")), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    work.go.set()
    assert flights.behind("key", work)
    await turns()
    gc.collect()
    assert (others(), told) == (0, [])


async def test_work_behind_does_not_take_the_place_of_work_that_is_waited_for() -> None:
    flights, work = Flights(), Work()
    asked = asking(flights, work)
    await turns()
    assert not flights.behind("key", work)
    asked.cancel()
    await turns()
    assert (work.cancelled, others()) == (1, 0)


async def test_closing_ends_all_and_tells_those_who_wait() -> None:
    flights, work = Flights(), Work()
    work.cleaned.clear()
    asked = [asking(flights, work) for _ in range(2)]
    assert flights.behind("other", work)
    await turns()
    closing = asyncio.create_task(flights.aclose())
    await turns()
    assert not closing.done()
    work.cleaned.set()
    await closing
    ends = await ended(*asked)
    assert all(isinstance(end, ClientRemovedError) and end.reason == "closed" for end in ends)
    assert (work.cancelled, others()) == (2, 0)
    assert not flights.behind("other", work)
    await flights.aclose()


def test_closing_from_another_thread_ends_the_flights_of_every_loop() -> None:
    flights, begun, ends = Flights(), threading.Barrier(3), list[BaseException | tuple[str, bool]]()

    async def work() -> str:
        await asyncio.get_running_loop().run_in_executor(None, begun.wait)
        await asyncio.Event().wait()
        return "never"

    async def ask() -> None:
        ends.extend(await asyncio.gather(flights.joined("key", work), return_exceptions=True))

    threads = [threading.Thread(target=lambda: asyncio.run(ask())) for _ in range(2)]
    for thread in threads:
        thread.start()
    begun.wait()
    flights.close()
    for thread in threads:
        thread.join(10)
    assert [type(end) for end in ends] == [ClientRemovedError] * 2


async def never() -> str:
    """Wait for nothing that comes."""
    await asyncio.Event().wait()
    return "never"


async def done() -> str:
    """Be done at once."""
    return "done"


def test_loops_share_nothing_and_one_that_died_keeps_nobody_waiting() -> None:
    flights, dead = Flights(), asyncio.new_event_loop()
    # What asyncio says of a task that nobody can ever wake is meant for the host.
    dead.set_exception_handler(lambda *_: None)
    waiting = dead.create_task(flights.joined("key", never))
    dead.run_until_complete(turns())
    dead.close()
    flights.close()
    assert asyncio.run(flights.joined("key", done)) == ("done", False)
    gone = weakref.ref(dead)
    assert not waiting.done()
    del dead, waiting
    gc.collect()
    assert gone() is None


def test_a_forked_child_waits_for_nothing_that_its_parent_does() -> None:
    flights, work, parent = Flights(), Work(), asyncio.new_event_loop()
    waiting = parent.create_task(flights.joined("key", work))
    parent.run_until_complete(turns())
    assert is_true_in_child(lambda: asyncio.run(flights.joined("key", done)) == ("done", False))
    work.go.set()
    assert parent.run_until_complete(waiting) == ("done", False)
    parent.close()


@pytest.mark.parametrize("after", range(6))
async def test_a_cancellation_that_meets_the_end_leaves_nothing(after: int) -> None:
    flights, work = Flights(), Work()
    first, second = asking(flights, work), asking(flights, work)
    await turns()
    work.go.set()
    await turns(after)
    second.cancel()
    assert (await ended(first, second))[0] == ("done", False)
    assert others() == 0
