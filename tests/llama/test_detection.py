"""A real engine is asked what its model can do, and what it says holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from loomwire.container.facade import LLMContainer
from loomwire.domain.capabilities import ModelCapabilities
from support.llama import CONTEXT, PARALLEL, Box, configured


def known(container: LLMContainer, name: str) -> ModelCapabilities:
    """Return what is in force of the model of a client."""
    entry = container.wiring.registry().generation.entry(name)
    found: ModelCapabilities = entry.config.targets[0].capabilities
    return found


async def test_a_llama_cpp_server_says_what_its_model_can_do(models: Path, box: Box, tmp_path: Path) -> None:
    async with LLMContainer.aopen(configured(tmp_path, "llamacpp", models, box), watch=False) as container:
        found = {each.provider: each for each in await container.detect()}
        assert {name: each.error for name, each in found.items()} == {"plain": None, "tools": None}
        plain, tools = known(container, "plain"), known(container, "tools")
    assert tools.supports_tools is True
    assert plain.supports_vision is False
    assert plain.context_window in (CONTEXT, CONTEXT // PARALLEL)
    assert {plain.source(field) for field in ("supports_vision", "supports_json_schema", "context_window")} == {
        "detected"
    }
    assert found["plain"].by == "GET /props"


async def test_a_model_in_the_process_has_no_server_that_could_be_asked(models: Path, box: Box, tmp_path: Path) -> None:
    async with LLMContainer.aopen(configured(tmp_path, "local", models, box), watch=False) as container:
        assert await container.detect() == ()


@pytest.mark.parametrize("name", ["plain"])
async def test_asking_with_a_wrong_key_is_a_result(name: str, models: Path, box: Box, tmp_path: Path) -> None:
    where = configured(tmp_path, "llamacpp", models, box, api_key="sk-wrong-key-of-the-test")
    async with LLMContainer.aopen(where, watch=False) as container:
        found = {each.provider: each.error for each in await container.detect()}
    error = found[name]
    assert error is not None
    assert error.reason == "credentials"
