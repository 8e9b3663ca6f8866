"""Configurations as texts: what they load to, or every problem they are refused for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from loomwire.domain.config import Snapshot
from loomwire.domain.errors import ConfigRejectedError
from loomwire.domain.reports.problems import Problem
from loomwire.infrastructure.configuration.checks.targets import TargetCheck
from loomwire.infrastructure.configuration.loader import ConfigLoader
from loomwire.infrastructure.configuration.options import OptionCheck

Files = Mapping[str, str | bytes]
Environ = Mapping[str, str]

NOTHING: Environ = {}


class Folder:
    """Writes files into a folder and loads it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checks: Mapping[str, OptionCheck] = {}
        self.target_check: TargetCheck | None = None

    def load(self, files: str | Files, environ: Environ = NOTHING) -> Snapshot:
        """Write a text as a.yaml, or several files, and load."""
        for name, content in ({"a.yaml": files} if isinstance(files, str) else files).items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        types = ("openai", "vllm", "custom", "mock", "rule")
        return ConfigLoader(types, ("openai_chat",), self.checks, environ, self.target_check).load(self.root)

    def refusal(self, files: str | Files, environ: Environ = NOTHING) -> ConfigRejectedError:
        """Load what must be refused, and return the error."""
        with pytest.raises(ConfigRejectedError) as caught:
            self.load(files, environ)
        return caught.value

    def problems(self, files: str | Files, environ: Environ = NOTHING) -> tuple[Problem, ...]:
        """Load what must be refused, and return why."""
        return self.refusal(files, environ).problems


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Return a folder that can be filled and loaded."""
    root = tmp_path / "config"
    root.mkdir()
    return Folder(root)
