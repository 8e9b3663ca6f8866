"""A thousand cancellations at random points leave nothing behind: no permit, no socket, no foreign answer."""

from __future__ import annotations

import asyncio
import os
import random
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from loomwire.domain.errors import LLMTimeoutError
from loomwire.domain.policies import PoolPolicy
from loomwire.domain.ports.pool import WireRequest
from loomwire.domain.requests import Bound
from loomwire.infrastructure.transport.pool import ConnectionPool
from support.wire_server import LOCAL, Exchange, WireServer, ask, eventually


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


POLICY = replace(LOCAL, pool=PoolPolicy(max_connections=10))


class Victim:
    """A call that may end at any point; if it ends well, its answer must be its own."""

    def __init__(self, pool: ConnectionPool, url: str, number: int, dice: random.Random) -> None:
        self.pool = pool
        self.url = url
        self.body = b"%d" % number
        self.kind = dice.choice(["plain", "stream", "bound", "timeout"])
        self.patience = dice.random() * 0.01

    async def run(self) -> None:
        """Make the call in one of several ways."""
        if self.kind == "timeout":
            with suppress(TimeoutError):
                async with asyncio.timeout(self.patience):
                    await self.call(None)
        elif self.kind == "bound":
            with suppress(LLMTimeoutError):
                await self.call(Bound(time.monotonic() + self.patience))
        else:
            await self.call(Bound(time.monotonic() + 60))

    async def call(self, bound: Bound | None) -> None:
        """Ask, and check whose answer came."""
        lease = await self.pool.acquire(self.url, POLICY, bound)
        try:
            reply = await lease.send(WireRequest(f"/{self.kind}", (), self.body, idle_s=5, bound=bound))
            try:
                got = b"".join([chunk async for chunk in reply.chunks()])
            finally:
                reply.close()
        finally:
            self.pool.release(lease)
        assert got == (self.body * 3 if self.kind == "stream" else self.body)


async def play(exchange: Exchange) -> None:
    """Answer late, or in pieces."""
    await asyncio.sleep(random.random() * 0.002)
    if exchange.path != "/stream":
        await exchange.answer(exchange.body)
        return
    await exchange.start_chunks()
    for _ in range(3):
        await exchange.chunk(exchange.body)
        await asyncio.sleep(0)
    await exchange.chunk(b"")


async def torture(pool: ConnectionPool, url: str, cancels: int, dice: random.Random) -> int:
    """Start calls and cancel most of them somewhere, some of them twice; returns how many were really cancelled."""
    cancelled = started = 0
    while cancelled < cancels:
        victims = [Victim(pool, url, started + number, dice) for number in range(30)]
        started += len(victims)
        tasks = [asyncio.create_task(victim.run()) for victim in victims]
        for task in dice.sample(tasks, 26):
            for _ in range(dice.choice([0, 0, 1, 2, 3, 5, 8])):
                await asyncio.sleep(0)
            task.cancel()
            if dice.random() < 0.2:
                await asyncio.sleep(0)
                task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        wrong = [each for each in results if each is not None and not isinstance(each, asyncio.CancelledError)]
        assert wrong == []
        cancelled += sum(isinstance(each, asyncio.CancelledError) for each in results)
    return cancelled


@pytest.mark.parametrize("cancels", [1_000, pytest.param(10_000, marks=pytest.mark.full)])
async def test_cancellations_at_random_points_leave_nothing_behind(pool: ConnectionPool, cancels: int) -> None:
    dice = random.Random(os.urandom(8).hex())
    async with WireServer(play) as server:
        await ask(pool, server.base_url, policy=POLICY)
        await asyncio.sleep(0.02)
        known = asyncio.all_tasks()
        files = open_files()
        assert await torture(pool, server.base_url, cancels, dice) >= cancels
        stats = pool.get_stats()
        assert (stats.active, stats.waiting) == (0, 0)
        answers = await asyncio.gather(*(ask(pool, server.base_url, b"%d" % n, POLICY) for n in range(20)))
        assert answers == [b"%d" % n for n in range(20)]
        await eventually(lambda: server.open == pool.get_stats().idle)
        stats = pool.get_stats()
        assert stats.active == 0
        assert stats.idle <= 10
        # Both ends of every idle connection are in this process; nothing else may have stayed open.
        await eventually(lambda: open_files() - files <= 2 * (stats.idle - 1))
        assert all("WireServer" in repr(task.get_coro()) for task in asyncio.all_tasks() - known)
