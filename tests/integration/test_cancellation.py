"""Streams cancelled at random points leave nothing behind: no descriptor, no task, no connection out, a usable pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from loomwire import ILLMClient, LLMConfig, LLMContainer
from loomwire.domain.ports.pool import IConnectionPool
from loomwire.testing import FakeProvider, HttpReply, Reply, chat_events
from loomwire.testing.wire import Piece, ReceivedRequest
from support.torture import Baseline, Tortured, fresh_calls, torture

PAUSE_S = 0.002
EVENTS = chat_events(Reply("A shuttle goes to and fro, and every pass leaves one thread more behind."))


def paced(request: ReceivedRequest) -> HttpReply | str:
    """Stream event by event, so that there is a time between any two of them; answer plain calls at once."""
    if request.stream is not True:
        return "Still here."
    pieces: list[Piece] = [PAUSE_S]
    for event in EVENTS:
        pieces += [event, PAUSE_S]
    return HttpReply(chunks=pieces)


@asynccontextmanager
async def talking() -> AsyncGenerator[tuple[FakeProvider, ILLMClient, IConnectionPool]]:
    """Run a provider and the whole chain in front of it."""
    async with FakeProvider(then=paced) as provider:
        model = LLMConfig.custom("m", base_url=provider.base_url, allow_private=True)
        # Hundreds at once for a hundred connections: a busy machine makes them wait, and none may give up.
        model = replace(model, timeouts=replace(model.timeouts, pool_queue_s=120.0))
        async with await asyncio.to_thread(LLMContainer.of, {"it": model}) as container:
            yield provider, container.resolve(ILLMClient, "it"), container.resolve(IConnectionPool)


async def tortured(count: int, at_once: int) -> Tortured:
    """Torture the chain, and check all that holds afterwards."""
    outside = Baseline.now()
    async with talking() as (provider, client, pool):
        assert await fresh_calls(client) == 20
        # With the connections that the pool keeps open, both ends of each.
        before = Baseline.now()
        ends = await torture(client, count, seed=count, at_once=at_once)
        stats = await provider.until(lambda stats: stats.answered + stats.abandoned == stats.requests)
        assert (pool.get_stats().active, pool.get_stats().waiting) == (0, 0)
        left = await before.returns()
        assert left.descriptors <= before.descriptors
        assert left.tasks <= before.tasks
        assert await fresh_calls(client) == 20
        assert provider.stats.answered == stats.answered + 20
        # Some were cancelled before they were sent, and some before the server had read what was sent.
        assert stats.requests + 20 <= pool.get_stats().total <= count + 40
    after = await outside.returns()
    assert after.descriptors <= outside.descriptors
    assert after.tasks <= outside.tasks
    return ends


async def test_streams_cancelled_at_random_points_leave_nothing_behind() -> None:
    ends = await tortured(200, at_once=60)
    assert ends.errors == ()
    assert ends.ends["cancelled"] + ends.ends["left"] + ends.ends["finished"] == 200
    assert min(ends.points.values()) >= 5


@pytest.mark.full
@pytest.mark.timeout(120)
async def test_ten_thousand_streams_cancelled_at_random_points_leave_nothing_behind() -> None:
    ends = await tortured(10_000, at_once=400)
    assert ends.errors == ()
    assert sum(ends.ends.values()) == 10_000
