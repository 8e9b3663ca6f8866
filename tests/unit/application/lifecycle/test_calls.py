from __future__ import annotations

import asyncio
import gc
import os
import threading

import pytest

from loomwire.application.lifecycle.calls import Call, Calls
from loomwire.domain.errors import ClientRemovedError
from support.chains import turns
from support.forking import is_true_in_child


class CleanUpError(Exception):
    """What a body raises while it is cancelled."""


async def work(call: Call, until: asyncio.Event, *, clean_up: Exception | None = None) -> str:
    """Await as a client does, and raise what closing makes of a cancellation."""
    call.begin()
    try:
        try:
            await until.wait()
        finally:
            if clean_up is not None:
                raise clean_up
    except BaseException as error:
        ended = call.disarm(error)
        if ended is None:
            raise
    else:
        return "done"
    finally:
        call.leave()
    raise ended


async def test_a_call_that_is_ended_raises_a_typed_error_and_its_task_was_not_cancelled() -> None:
    calls = Calls()
    call = Call(calls, "planner")
    task = asyncio.create_task(work(call, asyncio.Event()))
    await turns()
    assert (calls.in_flight, calls.unwinding) == (1, True)
    calls.end()
    with pytest.raises(ClientRemovedError, match="'planner' was ended because its container was closed") as caught:
        await task
    assert caught.value.reason == "closed"
    assert caught.value.__context__ is None
    assert task.cancelling() == 0
    assert (calls.in_flight, calls.unwinding) == (0, False)


async def test_being_ended_twice_is_no_harm() -> None:
    calls = Calls()
    task = asyncio.create_task(work(Call(calls, "planner"), asyncio.Event()))
    await turns()
    calls.end()
    calls.end()
    with pytest.raises(ClientRemovedError):
        await task
    assert task.cancelling() == 0


async def test_a_cancellation_by_the_caller_goes_on_as_it_is_also_when_both_come() -> None:
    calls = Calls()
    task = asyncio.create_task(work(Call(calls, "planner"), asyncio.Event()))
    await turns()
    task.cancel()
    calls.end()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelling() == 1
    assert task.cancelled()


async def test_a_task_that_was_cancelled_long_ago_is_told_of_the_closing_all_the_same() -> None:
    calls = Calls()

    async def late() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return await work(Call(calls, "planner"), asyncio.Event())
        return "never"

    task = asyncio.create_task(late())
    await turns()
    task.cancel()
    await turns()
    calls.end()
    with pytest.raises(ClientRemovedError):
        await task


async def test_an_error_of_the_clean_up_goes_on_and_no_cancellation_is_left_behind() -> None:
    calls = Calls()
    task = asyncio.create_task(work(Call(calls, "planner"), asyncio.Event(), clean_up=CleanUpError()))
    await turns()
    calls.end()
    with pytest.raises(CleanUpError):
        await task
    assert task.cancelling() == 0


async def test_a_call_that_is_over_before_its_end_comes_is_over() -> None:
    calls, until = Calls(), asyncio.Event()
    task = asyncio.create_task(work(Call(calls, "planner"), until))
    await turns()
    until.set()
    await turns(1)
    calls.end()
    assert await task == "done"
    assert task.cancelling() == 0


async def test_between_two_reads_nothing_is_cancelled_and_the_next_one_is_refused() -> None:
    calls = Calls()
    call = Call(calls, "planner")
    call.begin()
    assert call.disarm(None) is None
    assert not calls.unwinding
    calls.end()
    await turns()
    with pytest.raises(ClientRemovedError, match="was ended"):
        call.arm(asyncio.current_task())
    assert not call.unwinding
    call.leave()
    call.leave()
    assert calls.in_flight == 0


async def test_a_closed_door_lets_nobody_in_and_those_inside_go_on() -> None:
    calls = Calls()
    inside = Call(calls, "reader")
    inside.begin()
    calls.close()
    with pytest.raises(ClientRemovedError, match="client 'planner' was asked after its container was closed"):
        Call(calls, "planner").begin()
    assert calls.in_flight == 1
    inside.leave()


async def test_who_listens_is_told_of_every_call_that_leaves_after_closing() -> None:
    calls = Calls()
    heard: list[int] = []
    one, other, early = Call(calls, "a"), Call(calls, "b"), Call(calls, "c")
    with calls.heard(lambda: heard.append(calls.in_flight)):
        early.begin()
        early.leave()
        one.begin()
        other.begin()
        assert heard == []
        calls.close()
        one.leave()
        other.leave()
        assert heard == [1, 0]
    calls.tell()
    assert heard == [1, 0]


async def test_a_call_that_nobody_holds_any_more_is_not_counted() -> None:
    calls = Calls()
    call = Call(calls, "planner")
    call.begin()
    assert calls.in_flight == 1
    del call
    gc.collect()
    assert calls.in_flight == 0
    calls.end()


def test_a_call_outside_of_a_loop_is_counted_and_awaits_nothing() -> None:
    calls = Calls()
    call = Call(calls, "planner")
    call.begin()
    assert (calls.in_flight, calls.unwinding) == (1, False)
    assert call.disarm(None) is None
    calls.end()
    call.leave()
    assert calls.in_flight == 0


def test_calls_of_a_loop_that_has_closed_are_passed_over() -> None:
    calls = Calls()
    call = Call(calls, "planner")

    async def begun() -> None:
        call.begin()

    asyncio.run(begun())
    calls.end()
    assert calls.in_flight == 1


def test_calls_of_several_loops_are_ended_from_anywhere() -> None:
    calls = Calls()
    begun = threading.Barrier(4)
    ends: list[str] = []

    async def one() -> None:
        task = asyncio.create_task(work(Call(calls, "planner"), asyncio.Event()))
        await turns()
        await asyncio.to_thread(begun.wait, 5)
        try:
            await task
        except ClientRemovedError as error:
            ends.append(error.reason)

    threads = [threading.Thread(target=lambda: asyncio.run(one())) for _ in range(3)]
    for thread in threads:
        thread.start()
    begun.wait(5)
    calls.end()
    for thread in threads:
        thread.join(5)
    assert ends == ["closed"] * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_has_none_of_its_parents_calls() -> None:
    calls = Calls()
    call = Call(calls, "planner")
    call.begin()

    def child() -> bool:
        call.leave()
        return calls.in_flight == 0

    assert is_true_in_child(child)
    assert calls.in_flight == 1
