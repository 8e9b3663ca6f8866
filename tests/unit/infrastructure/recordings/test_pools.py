from __future__ import annotations

from pathlib import Path

import pytest

from loomwire.domain.errors import ConfigError
from loomwire.domain.policies import TransportPolicy
from loomwire.domain.ports.pool import PoolStats, WireRequest
from loomwire.infrastructure.recordings.pools import Replays
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import FakeProvider, Recorder

ASK = WireRequest("/embeddings", (("content-type", "application/json"),), b'{"model": "m", "input": ["a"]}')
NEAR = TransportPolicy(allow_private=True)


async def recorded(folder: Path) -> str:
    """Record one exchange; returns its place."""
    async with FakeProvider() as provider:
        recorder = Recorder(folder, "record", pool=ConnectionPool())
        lease = await recorder.acquire(provider.base_url, NEAR)
        answer = await lease.send(ASK)
        await answer.read()
        answer.close()
        recorder.release(lease)
        await recorder.aclose()
        return provider.base_url


async def test_a_folder_is_read_when_it_is_first_asked_and_once_for_all(tmp_path: Path) -> None:
    replays = Replays(SystemClock())
    pool = replays.deferred(str(tmp_path), "x")
    assert pool.get_stats() == PoolStats()
    await pool.aclose()
    base_url = await recorded(tmp_path)
    lease = await pool.acquire(base_url, NEAR)
    pool.release(lease)
    lease = await pool.acquire(base_url, NEAR)
    assert (await (await lease.send(ASK)).read()).startswith(b"{")
    pool.release(lease)
    assert pool.get_stats().total == 1
    assert replays.pool(str(tmp_path), "x") is replays.pool(str(tmp_path), "x")
    await pool.aclose()


async def test_giving_back_before_anything_was_lent_does_nothing(tmp_path: Path) -> None:
    base_url = await recorded(tmp_path)
    replays = Replays(SystemClock())
    lease = await replays.deferred(str(tmp_path), "x").acquire(base_url, NEAR)
    replays.deferred(str(tmp_path), "x").release(lease)


async def test_a_folder_that_is_not_there_is_said_by_the_first_call(tmp_path: Path) -> None:
    pool = Replays(SystemClock()).deferred(str(tmp_path / "nowhere"), "")
    with pytest.raises(ConfigError):
        await pool.acquire("https://api.openai.com/v1")
