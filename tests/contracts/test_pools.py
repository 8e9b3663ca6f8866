"""Our pools keep the contract of IConnectionPool."""

from __future__ import annotations

from pathlib import Path

import pytest
from typing_extensions import override

from loomwire.domain.ports.pool import IConnectionPool
from loomwire.infrastructure.transport.deferred import DeferredPool
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import Recorder
from loomwire.testing.contracts.pool import PoolContract


class TestConnectionPool(PoolContract):
    @override
    def pool(self) -> IConnectionPool:
        return ConnectionPool()


class TestDeferredPool(PoolContract):
    @override
    def pool(self) -> IConnectionPool:
        return DeferredPool()


class TestRecordingPool(PoolContract):
    """A recorder that records is a pool like any other; one that replays has no server to be judged with."""

    folder: Path

    @pytest.fixture(autouse=True)
    def recordings(self, tmp_path: Path) -> None:
        """Record into a folder of the test's own."""
        self.folder = tmp_path

    @override
    def pool(self) -> IConnectionPool:
        return Recorder(self.folder, "record")
