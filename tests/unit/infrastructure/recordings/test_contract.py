"""A recorder that records keeps the contract of the connections it records."""

from __future__ import annotations

from pathlib import Path

import pytest
from typing_extensions import override

from loomwire.domain.ports.pool import IConnectionPool
from loomwire.testing import Recorder
from loomwire.testing.contracts.pool import PoolContract


class TestRecorder(PoolContract):
    folder = Path()

    @pytest.fixture(autouse=True)
    def made_before_the_loop(self, tmp_path: Path) -> None:
        """Have a folder of its own for every claim."""
        self.folder = tmp_path

    @override
    def pool(self) -> IConnectionPool:
        return Recorder(self.folder, "record")
