"""Whoever stops listening frees the slot of the server, at once and however often."""

from __future__ import annotations

import asyncio
from pathlib import Path

from loomwire.container.facade import LLMContainer
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.requests import LLMRequest, Parameters
from support.llama import PARALLEL, Box, busy_slots, configured, slots_become
from support.torture import Baseline, fresh_calls, torture

STREAMS = 500
LONG = LLMRequest.of("Tell me everything.", deadline_s=30, parameters=Parameters(max_tokens=3900))


async def test_an_abandoned_stream_frees_its_slot(models: Path, box: Box, tmp_path: Path) -> None:
    engine = box.engines["plain"]
    async with LLMContainer.aopen(configured(tmp_path, "llamacpp", models, box)) as container:
        endless = container.resolve(ILLMClient, "endless")
        async with endless.stream(LONG) as stream:
            async for _ in stream:
                break
            seen = await asyncio.to_thread(busy_slots, engine)
        assert await slots_become(engine, 0)
    assert seen == 1


async def test_a_cancelled_stream_and_a_cancelled_whole_answer_free_their_slots(
    models: Path, box: Box, tmp_path: Path
) -> None:
    engine = box.engines["plain"]

    async def read(client: ILLMClient) -> None:
        async with client.stream(LONG) as stream:
            async for _ in stream:
                await asyncio.sleep(0.02)

    async with LLMContainer.aopen(configured(tmp_path, "llamacpp", models, box)) as container:
        endless = container.resolve(ILLMClient, "endless")
        reading = asyncio.create_task(read(endless))
        whole = asyncio.create_task(endless.generate(LONG))
        assert await slots_become(engine, 2)
        reading.cancel()
        whole.cancel()
        ends = await asyncio.gather(reading, whole, return_exceptions=True)
        assert await slots_become(engine, 0)
    assert [type(end) for end in ends] == [asyncio.CancelledError] * 2


async def test_500_streams_cancelled_at_random_points_leave_nothing(models: Path, box: Box, tmp_path: Path) -> None:
    engine = box.engines["plain"]
    for kind in ("llamacpp", "local"):
        async with LLMContainer.aopen(configured(tmp_path, kind, models, box)) as container:
            plain = container.resolve(ILLMClient, "plain")
            assert await fresh_calls(plain) == 20
            before = Baseline.now()
            done = await torture(plain, STREAMS, at_once=4 * PARALLEL, longest_s=0.02)
            assert not done.errors
            assert done.ends["cancelled"] > STREAMS / 4
            assert await fresh_calls(plain) == 20
            after = await before.returns()
            assert after.tasks <= before.tasks
            assert after.descriptors <= before.descriptors
            assert container.health().in_flight == 0
            assert container.health().pool.active == 0
            assert await slots_become(engine, 0)
