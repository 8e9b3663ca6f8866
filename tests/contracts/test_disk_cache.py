"""The disk level keeps the contract of ICacheStrategy."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import pytest
from typing_extensions import override

from loomwire.domain.caching.policies import DiskLevel
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.infrastructure.caching.disk.cache import DiskCache
from loomwire.testing import FakeClock
from loomwire.testing.contracts.cache import CacheContract


class TestDisk(CacheContract):
    resizes: ClassVar[bool] = False

    @pytest.fixture(autouse=True)
    def in_folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "cache.db"
        self.clock = FakeClock(start=100.0)

    @override
    @asynccontextmanager
    async def cache(self, limit_bytes: int) -> AsyncGenerator[ICacheStrategy]:
        level = DiskLevel(str(self.path), limit_bytes)
        cache = DiskCache(level, now=self.clock.now, wall=lambda: 1e9 + self.clock.now())
        try:
            yield cache
        finally:
            await cache.aclose()

    @override
    async def let_pass(self, cache: ICacheStrategy, seconds: float) -> None:
        await self.clock.advance(seconds)
