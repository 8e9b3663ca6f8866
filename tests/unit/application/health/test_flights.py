"""What several ask for at once is done once, whatever becomes of the one who began."""

from __future__ import annotations

import asyncio
import threading

import pytest

from loomwire.application.health.flights import Flights
from support.chains import turns


async def test_whoever_comes_meanwhile_gets_what_the_first_one_finds() -> None:
    flights: Flights[str, int] = Flights()
    go = asyncio.Event()
    begun: list[str] = []

    async def work() -> int:
        begun.append("one")
        await go.wait()
        return 7

    asked = [asyncio.create_task(flights.joined("a", work)) for _ in range(5)]
    other = asyncio.create_task(flights.joined("b", work))
    await turns()
    go.set()
    assert [await each for each in (*asked, other)] == [7] * 6
    assert len(begun) == 2
    assert await flights.joined("a", work) == 7
    assert len(begun) == 3


async def test_when_the_first_one_is_cancelled_another_one_does_the_work() -> None:
    flights: Flights[str, int] = Flights()
    go = asyncio.Event()
    begun: list[int] = []

    async def work() -> int:
        begun.append(len(begun))
        await go.wait()
        return begun[-1]

    first, second, third = (asyncio.create_task(flights.joined("a", work)) for _ in range(3))
    await turns()
    first.cancel()
    await turns()
    third.cancel()
    await turns()
    go.set()
    assert await second == 1
    assert [each.cancelled() for each in await_all(first, third)] == [True, True]


def await_all(*tasks: asyncio.Task[int]) -> tuple[asyncio.Task[int], ...]:
    """Return tasks that have ended."""
    assert all(task.done() for task in tasks)
    return tasks


async def test_an_error_goes_to_the_one_who_began_and_the_others_try_anew() -> None:
    flights: Flights[str, int] = Flights()
    begun: list[int] = []

    async def work() -> int:
        begun.append(0)
        await asyncio.sleep(0)
        if len(begun) == 1:
            raise ValueError("no")
        return 3

    first, second = (asyncio.create_task(flights.joined("a", work)) for _ in range(2))
    with pytest.raises(ValueError, match="no"):
        await first
    assert await second == 3


def test_threads_with_loops_of_their_own_share_one_flight_too() -> None:
    flights: Flights[str, int] = Flights()
    gate = threading.Barrier(8)
    begun: list[int] = []
    found: list[int] = []

    async def work() -> int:
        begun.append(1)
        await asyncio.sleep(0.05)
        return 5

    def ask() -> None:
        gate.wait()
        found.append(asyncio.run(flights.joined("a", work)))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found, len(begun)) == ([5] * 8, 1)


async def test_a_forked_child_waits_for_nothing_that_its_parent_does() -> None:
    flights: Flights[str, int] = Flights()

    async def never() -> int:
        await asyncio.Event().wait()
        return 0

    async def work() -> int:
        return 1

    parents = asyncio.create_task(flights.joined("a", never))
    await turns()
    flights.after_fork()
    assert await flights.joined("a", work) == 1
    parents.cancel()
    await turns()
    assert parents.cancelled()
