"""What is used wrongly says so at once, as a typed error that shows the right way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from loomwire import ILLMClient, LLMContainer, SyncLLMClient
from loomwire.domain.errors import ClientRemovedError, LLMValidationError
from loomwire.domain.ports.clock import IClock
from support.folders import folder


def test_a_container_that_is_closed_refuses_to_hand_anything_out(tmp_path: Path) -> None:
    container = LLMContainer.open(folder(tmp_path), watch=False)
    begun_before = container.pinned()
    run = container.pinned().__enter__()
    container.close()
    asking: tuple[Callable[[], object], ...] = (
        container.pinned,
        begun_before.__enter__,
        run.pinned().__enter__,
        lambda: container.resolve(ILLMClient, "planner"),
        lambda: container.resolve(ILLMClient, "no such client"),
        lambda: container.resolve(SyncLLMClient),
        lambda: container.resolve(IClock),
        lambda: container.llm_client("planner"),
        lambda: container.sync_client("planner"),
        lambda: container.typed(int, "planner"),
        lambda: run.llm_client("planner"),
    )
    for ask in asking:
        with pytest.raises(ClientRemovedError, match="closed") as caught:
            ask()
        assert caught.value.reason == "closed"
    assert container.names() == ("planner",)
    assert container.client_config("planner").name == "planner"


def test_what_is_no_function_is_no_listener(tmp_path: Path) -> None:
    with LLMContainer.open(folder(tmp_path), watch=False) as container:
        with pytest.raises(LLMValidationError, match="a listener is a function, not NoneType"):
            container.on_config_updated(None)  # type: ignore[arg-type]  # what a host without mypy may write
        with pytest.raises(LLMValidationError, match="a listener is a function, not str"):
            container.configs.on_config_rejected("notify")  # type: ignore[arg-type]


async def test_what_is_no_request_is_refused_with_the_right_call(tmp_path: Path) -> None:
    await asyncio.to_thread(folder, tmp_path)
    async with LLMContainer.aopen(tmp_path, watch=False) as container:
        planner, number = container.llm_client("planner"), container.typed(int, "planner")
        for asking in (planner.generate, number.generate):
            with pytest.raises(LLMValidationError, match=r"generate\(\) takes an LLMRequest, not str") as caught:
                await asking("Plan a weekend")  # type: ignore[arg-type]
            assert 'client.generate(LLMRequest.of("..."))' in str(caught.value)
            assert "weekend" not in str(caught.value)
        with pytest.raises(LLMValidationError, match=r"stream\(\) takes an LLMRequest, not NoneType"):
            planner.stream(None)  # type: ignore[arg-type]


def test_a_blocking_client_says_the_same(tmp_path: Path) -> None:
    with LLMContainer.open(folder(tmp_path), watch=False) as container:
        client = container.sync_client("planner")
        with pytest.raises(LLMValidationError, match="takes an LLMRequest, not str"):
            client.generate("Plan a weekend")  # type: ignore[arg-type]
        with pytest.raises(LLMValidationError, match="takes an LLMRequest, not str"):
            client.stream("Plan a weekend")  # type: ignore[arg-type]
