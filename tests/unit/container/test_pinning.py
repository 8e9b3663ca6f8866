from __future__ import annotations

import asyncio
import pickle
from pathlib import Path

import pytest

from loomwire import LLMContainer
from loomwire.domain.errors import ClientRemovedError, LLMValidationError
from support.chains import HI
from support.folders import folder


def test_one_pinning_is_one_run_at_a_time_and_may_be_used_again(tmp_path: Path) -> None:
    with LLMContainer.open(folder(tmp_path), watch=False) as container:
        pinning = container.pinned()
        with pinning as run:
            with pytest.raises(LLMValidationError, match="this run has begun already"):
                pinning.__enter__()
            assert container.health().in_flight == 1
            assert run.sync_client("planner").generate(HI).finish == "stop"
        assert container.health().in_flight == 0
        with pinning as again:
            assert again.names() == ("planner",)
            assert container.health().in_flight == 1
        pinning.__exit__(None, None, None)
        assert container.health().in_flight == 0


async def test_a_run_inside_one_that_ended_is_refused(tmp_path: Path) -> None:
    await asyncio.to_thread(folder, tmp_path)
    async with LLMContainer.aopen(tmp_path, watch=False) as container:
        async with container.pinned() as run:
            inner = run.pinned()
        with pytest.raises(ClientRemovedError, match="inside one that had ended"):
            async with inner:
                pass
        assert container.health().in_flight == 0


def test_containers_and_runs_say_what_to_send_instead_of_them(tmp_path: Path) -> None:
    with LLMContainer.open(folder(tmp_path), watch=False) as container, container.pinned() as run:
        for held in (container, run):
            with pytest.raises(TypeError, match="neither copied nor pickled: send its folder"):
                pickle.dumps(held)
