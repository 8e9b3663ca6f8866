"""A configuration with a control socket, with and without a process that runs on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from loomwire import LLMContainer
from support.operating import Running, configured


@pytest.fixture
def idle(tmp_path: Path) -> Path:
    """Return a configuration on which nobody runs."""
    return configured(tmp_path)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Return a container that runs on a configuration with a control socket."""
    config = configured(tmp_path)
    with LLMContainer.open(config) as container:
        yield Running(container, config)
