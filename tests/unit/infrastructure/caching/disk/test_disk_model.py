"""The disk level against a plain dict."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import ClassVar

from hypothesis import settings
from typing_extensions import override

from loomwire.domain.caching.policies import DiskLevel
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.infrastructure.caching.disk.cache import DiskCache
from support.cache_model import CacheMachine


class DiskMachine(CacheMachine):
    # A look leaves what is over to the sweep.
    swept: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()

    @override
    def build(self) -> ICacheStrategy:
        level = DiskLevel(str(Path(self.folder.name) / "cache.db"))
        return DiskCache(level, now=self.clock.now, wall=lambda: 1e9 + self.clock.now())

    @override
    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


TestDisk = DiskMachine.TestCase
TestDisk.settings = settings(max_examples=15, stateful_step_count=30)
