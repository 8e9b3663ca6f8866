"""One timer per loop ends what takes too long, and nothing else."""

from __future__ import annotations

import asyncio
import gc

import pytest

from loomwire.infrastructure.caching.patience import Patience, Watch


async def waited(patience: Patience, within_s: float, for_s: float) -> bool:
    """Wait; return whether that took too long."""
    look = patience.begin(within_s)
    try:
        await asyncio.sleep(for_s)
    except asyncio.CancelledError:
        if not look.end():
            raise
        return True
    assert look.end() is False
    return False


async def test_each_ends_at_its_own_time() -> None:
    patience = Patience()
    first, second, patient = (asyncio.create_task(waited(patience, within_s, 60)) for within_s in (0.01, 0.02, 60))
    quick = asyncio.create_task(waited(patience, 60, 0.001))
    assert (await first, await second, await quick) == (True, True, False)
    assert not patient.done()
    patient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await patient


async def test_the_timer_is_set_again_when_nothing_was_left() -> None:
    patience = Patience()
    assert await waited(patience, 0.002, 0) is False
    await asyncio.sleep(0.01)
    assert await waited(patience, 0.002, 60) is True


async def test_a_task_that_was_ended_goes_on_unharmed() -> None:
    patience = Patience()
    for _ in range(3):
        assert await waited(patience, 0.002, 5) is True
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_cancellation_by_somebody_else_is_not_ours() -> None:
    task = asyncio.create_task(waited(Patience(), 5, 5))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_without_a_task_there_is_nothing_to_end() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        raised = loop.create_future()

        def outside() -> None:
            try:
                Watch().begin(1)
            except RuntimeError as error:
                raised.set_result(error)

        loop.call_soon(outside)
        assert str(await raised) == "a look needs a task"

    asyncio.run(main())


async def test_a_task_that_is_gone_is_not_missed() -> None:
    watch = Watch()

    async def begun() -> None:
        watch.begin(0.005)

    task = asyncio.create_task(begun())
    await task
    del task
    gc.collect()
    await asyncio.sleep(0.01)
    assert not watch.looks
