"""Our source of configurations keeps the contract of IConfigSource, for a folder and for a single file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from typing_extensions import override

from loomwire.domain.ports.config import IConfigSource
from loomwire.domain.values import JSON
from loomwire.infrastructure.configuration.loader import ConfigLoader
from loomwire.infrastructure.configuration.source import FolderSource
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS, option_checks
from loomwire.testing.contracts.source import ConfigSourceContract

LOADER = ConfigLoader(PROVIDERS, DIALECTS, option_checks(), {})


class TestFolder(ConfigSourceContract):
    folder: Path

    @pytest.fixture(autouse=True)
    def placed(self, tmp_path: Path) -> None:
        """Give it a folder."""
        self.folder = tmp_path

    @property
    def file(self) -> Path:
        """What is written."""
        return self.folder / "loomwire.yaml"

    @override
    def source(self) -> IConfigSource:
        return FolderSource(LOADER, self.folder)

    @override
    def say(self, source: IConfigSource, clients: Mapping[str, str]) -> None:
        described: dict[str, JSON] = {
            "version": 1,
            "providers": {"offline": {"type": "mock", "script": [{"text": "Hello.", "repeat": True}]}},
            "models": {f"of-{name}": {"provider": "offline", "model": model} for name, model in clients.items()},
            "clients": {name: {"models": [f"of-{name}"]} for name in clients},
        }
        self.file.write_text(json.dumps(described), encoding="utf-8")

    @override
    def spoil(self, source: IConfigSource) -> None:
        self.file.write_text("version: 1\nclients: [", encoding="utf-8")


class TestOneFile(TestFolder):
    @override
    def source(self) -> IConfigSource:
        return FolderSource(LOADER, self.file)

    @override
    def spoil(self, source: IConfigSource) -> None:
        self.file.unlink(missing_ok=True)
