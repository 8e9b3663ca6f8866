from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from loomwire import LLMContainer
from support.folders import folder


def test_a_close_that_is_cancelled_before_a_thread_is_free_still_ends_everything(tmp_path: Path) -> None:
    container = LLMContainer.open(folder(tmp_path))
    free = threading.Event()

    async def cancelled() -> None:
        only = ThreadPoolExecutor(1)
        asyncio.get_running_loop().set_default_executor(only)
        only.submit(free.wait, 5)
        closing = asyncio.create_task(container.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        free.set()

    asyncio.run(cancelled())  # waits for the executor
    watcher = container.health().watcher
    assert container.closed
    assert watcher is not None
    assert not watcher.running


def test_an_opening_that_is_cancelled_leaves_no_watcher_behind(tmp_path: Path) -> None:
    folder(tmp_path)
    before = set(threading.enumerate())

    async def cancelled() -> None:
        opening = asyncio.create_task(LLMContainer.aopen(tmp_path).__aenter__())
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening

    asyncio.run(cancelled())  # waits for the executor
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(3)
    assert not any(thread.is_alive() for thread in left)
