from __future__ import annotations

import asyncio
import gc
import math
import os
import threading
import time

import pytest

from loomwire.application.lifecycle.calls import Call, Calls
from loomwire.application.lifecycle.last_calls import GRACE_S, LastCalls
from loomwire.domain.errors import ClientRemovedError, LLMValidationError
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.testing import FakeClock
from support.chains import HI, hanging, registry_of, turns
from support.forking import is_true_in_child


def idle_call(calls: Calls) -> Call:
    """Begin a call for which no task works, such as a stream between two reads."""
    call = Call(calls, "planner")
    call.begin()
    call.disarm(None)
    return call


async def test_without_calls_nobody_waits() -> None:
    calls = Calls()
    last = LastCalls(calls, FakeClock())
    last.close(None, 30)
    await last.waited()
    last.wait()
    assert calls.closed


async def test_the_last_call_ends_the_waiting() -> None:
    calls, clock = Calls(), FakeClock()
    call = idle_call(calls)
    last = LastCalls(calls, clock)
    last.close(None, 30)
    waiting = asyncio.create_task(last.waited())
    await clock.advance(29)
    assert not waiting.done()
    call.leave()
    await waiting


async def test_when_the_time_is_over_the_rest_is_ended() -> None:
    registry, clock = registry_of(hanging(), "planner"), FakeClock()
    call = asyncio.create_task(registry.client("planner").generate(HI))
    await turns()
    last = LastCalls(registry.calls, clock)
    last.close(None, 30)
    waiting = asyncio.create_task(last.waited())
    await clock.advance(29.9)
    assert not call.done()
    await clock.advance(0.1)
    with pytest.raises(ClientRemovedError, match="ended because its container was closed"):
        await call
    await waiting
    assert clock.now() == 30


async def test_what_swallows_its_end_is_ended_again_and_not_waited_for_for_ever() -> None:
    calls, clock = Calls(), FakeClock()
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        call = Call(calls, "planner")
        call.begin()
        while swallowed < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
        call.disarm(None)
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await turns()
    last = LastCalls(calls, clock)
    last.close(0, 30)
    waiting = asyncio.create_task(last.waited())
    await clock.advance(GRACE_S)
    await waiting
    assert swallowed == 3
    assert task.cancelling() == 0
    task.cancel()


async def test_what_does_not_end_at_all_is_left_after_the_grace() -> None:
    calls, clock, free = Calls(), FakeClock(), asyncio.Event()

    async def deaf() -> None:
        Call(calls, "planner").begin()
        call.begin()
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue

    call = Call(calls, "planner")
    task = asyncio.create_task(deaf())
    await turns()
    last = LastCalls(calls, clock)
    last.close(0, 30)
    waiting = asyncio.create_task(last.waited())
    await clock.advance(GRACE_S - 0.01)
    assert not waiting.done()
    await clock.advance(0.02)
    await waiting
    free.set()
    await task
    call.disarm(None)


async def test_a_later_one_may_hurry_the_first_and_never_hold_it_up() -> None:
    calls, clock = Calls(), FakeClock()
    call = idle_call(calls)
    last = LastCalls(calls, clock)
    last.close(30, 5)
    waiting = asyncio.create_task(last.waited())
    last.close(None, 5)
    last.close(60, 5)
    await clock.advance(29)
    assert not waiting.done()
    last.close(0, 5)
    await waiting
    assert clock.now() == 29
    call.leave()


async def test_the_rest_may_be_ended_without_waiting() -> None:
    registry = registry_of(hanging(), "planner")
    call = asyncio.create_task(registry.client("planner").generate(HI))
    await turns()
    last = LastCalls(registry.calls, FakeClock())
    last.close(0, 30)
    last.end()
    with pytest.raises(ClientRemovedError):
        await call


async def test_cancelling_the_waiting_ends_the_calls_at_once() -> None:
    registry = registry_of(hanging(), "planner")
    call = asyncio.create_task(registry.client("planner").generate(HI))
    await turns()
    last = LastCalls(registry.calls, FakeClock())
    last.close(math.inf, 30)
    waiting = asyncio.create_task(last.waited())
    await turns()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(ClientRemovedError):
        await call


@pytest.mark.parametrize("wrong", [-1.0, math.nan])
def test_no_number_of_seconds_changes_nothing(wrong: float) -> None:
    calls = Calls()
    with pytest.raises(LLMValidationError, match="calls cannot go on for"):
        LastCalls(calls, FakeClock()).close(wrong, 30)
    assert not calls.closed


async def test_a_stream_that_was_forgotten_is_waited_for_until_it_is_collected() -> None:
    calls, clock = Calls(), FakeClock()
    call = idle_call(calls)
    last = LastCalls(calls, clock)
    last.close(None, 30)
    waiting = asyncio.create_task(last.waited())
    await turns()
    del call
    gc.collect()
    await clock.advance(0.25)
    await waiting


def test_a_thread_waits_for_calls_of_another_threads_loop_and_ends_them() -> None:
    registry = registry_of(hanging(), "planner")
    begun = threading.Event()
    ends: list[str] = []

    async def one() -> None:
        task = asyncio.create_task(registry.client("planner").generate(HI))
        await turns()
        begun.set()
        try:
            await task
        except ClientRemovedError as error:
            ends.append(error.reason)

    other = threading.Thread(target=lambda: asyncio.run(one()))
    other.start()
    begun.wait(5)
    last = LastCalls(registry.calls, SystemClock())
    began = time.monotonic()
    last.close(0.05, 30)
    last.wait()
    assert 0.05 <= time.monotonic() - began < GRACE_S
    assert registry.calls.in_flight == 0
    other.join(5)
    assert ends == ["closed"]


def test_a_loop_that_closes_while_it_waits_is_not_woken_any_more() -> None:
    calls = Calls()
    call = idle_call(calls)
    last = LastCalls(calls, SystemClock())
    last.close(30, 30)
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(last.waited())
    loop.run_until_complete(turns())
    waiting.cancel()
    loop.close()
    call.leave()
    assert calls.in_flight == 0
    # What it would have cleaned up, had anybody run it.
    waiting.get_coro().close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_closes_although_a_thread_of_the_parent_was_closing() -> None:
    last = LastCalls(Calls(), SystemClock())

    def child() -> bool:
        last.close(0, 0)
        last.wait()
        return True

    with last._lock:
        assert is_true_in_child(child)
