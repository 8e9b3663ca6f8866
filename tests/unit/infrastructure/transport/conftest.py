"""What the transport tests share."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, MutableMapping

import pytest

from loomwire.infrastructure.transport.pool import ConnectionPool


@pytest.fixture
async def pool() -> AsyncIterator[ConnectionPool]:
    """A pool that must be empty after the test."""
    pool = ConnectionPool()
    yield pool
    await pool.aclose()
    stats = pool.get_stats()
    assert (stats.active, stats.waiting, stats.idle) == (0, 0, 0)


@pytest.fixture
def environment() -> Iterator[MutableMapping[str, str]]:
    """The environment without any proxy, as it was again after the test."""
    before = dict(os.environ)
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            del os.environ[name]
    yield os.environ
    os.environ.clear()
    os.environ.update(before)
