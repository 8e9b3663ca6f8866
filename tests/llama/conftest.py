"""Everything here runs in the full tier, against llama.cpp in this process and a model of random weights."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from loomwire.container.facade import LLMContainer
from support.llama import Box, configured, served, write_models

HERE = Path(__file__).parent


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark every test of this folder."""
    if item.path.is_relative_to(HERE):
        item.add_marker("full")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with plain.gguf and tools.gguf."""
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed: python3 dev.py setup --full")
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def box(models: Path) -> Iterator[Box]:
    """Run two servers of our own making, one for each model, for the type llamacpp."""
    with served(models) as running:
        yield running


@pytest.fixture(params=["llamacpp", "local"])
async def container(
    request: pytest.FixtureRequest, models: Path, box: Box, tmp_path: Path
) -> AsyncIterator[LLMContainer]:
    """Give a container on YAML whose clients are `plain` and `tools`, once over a server and once in the process."""
    async with LLMContainer.aopen(configured(tmp_path, str(request.param), models, box)) as opened:
        yield opened
