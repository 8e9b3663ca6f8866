"""Sync tools run on threads of their own, and a loop that waits for one is never let down."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest

from loomwire.application.agents.threads import on_thread

WORD: ContextVar[str] = ContextVar("word", default="none")


async def test_it_runs_elsewhere_in_the_context_of_the_caller() -> None:
    WORD.set("here")
    name, daemon, word = await on_thread(look, "loomwire tool look")
    assert (name, daemon, word) == ("loomwire tool look", True, "here")


def look() -> tuple[str, bool, str]:
    """Say where it runs."""
    return threading.current_thread().name, threading.current_thread().daemon, WORD.get()


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(1), asyncio.CancelledError()])
async def test_what_it_raises_belongs_to_who_waits(error: BaseException) -> None:
    def fail() -> None:
        raise error

    # Caught inside the coroutine: out of a task, the last three end more than the test.
    caught: BaseException | None = None
    try:
        await on_thread(fail, "fail")
    except BaseException as raised:  # noqa: BLE001
        caught = raised
    assert type(caught) is type(error)


async def test_the_one_error_that_no_future_carries_is_another_one() -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await on_thread(lambda: next(iter(())), "next")


async def test_cancelled_it_drops_what_comes_later() -> None:
    go, done = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow() -> None:
        go.wait(10)
        loop.call_soon_threadsafe(loop.call_later, 0.01, done.set)

    task = asyncio.create_task(on_thread(slow, "slow"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    await done.wait()


def test_a_loop_that_is_closed_meanwhile_is_left_alone() -> None:
    go = threading.Event()
    threads: list[threading.Thread] = []

    async def leave() -> None:
        loop, began = asyncio.get_running_loop(), asyncio.Event()

        def slow() -> None:
            threads.append(threading.current_thread())
            loop.call_soon_threadsafe(began.set)
            go.wait(10)

        task = asyncio.create_task(on_thread(slow, "slow"))
        await began.wait()
        task.cancel()

    asyncio.run(leave())
    go.set()
    # An error on the thread would fail the test: pytest makes a warning of it, and warnings are errors here.
    threads[0].join(10)
    assert not threads[0].is_alive()
