from __future__ import annotations

import asyncio

import pytest

from loomwire.application.state.pacing.waiter import Waiter


async def waiter(asked: float, urgency: int = 1) -> Waiter:
    """Return one that waits in the running loop."""
    return Waiter(1, 100.0, urgency, asked)


@pytest.mark.parametrize(("given_", "taken"), [(-3, 0), (0, 0), (2, 2), (99, 2)])
async def test_an_unknown_urgency_is_the_nearest_known_one(given_: int, taken: int) -> None:
    assert (await waiter(0.0, given_)).urgency == taken


async def test_a_ring_wakes_once_and_the_next_one_is_awaited_anew() -> None:
    one = await waiter(0.0)
    assert one.ring()
    assert one.ring()
    await one.rung()
    assert not one.rung().done()


def test_nobody_wakes_in_a_closed_loop() -> None:
    assert not asyncio.run(waiter(0.0)).ring()
