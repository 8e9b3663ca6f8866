"""Blocking clients and the threads behind them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from loomwire.application.loop_thread import LoopThread
from loomwire.application.sync import SyncLLMClient
from loomwire.testing import ScriptedClient


async def nothing() -> None:
    """Do nothing at the end."""


@contextmanager
def sync_over(leaf: ScriptedClient) -> Iterator[SyncLLMClient]:
    """Give a blocking client over a leaf and close its thread."""
    thread = LoopThread()
    try:
        yield SyncLLMClient(leaf, thread)
    finally:
        thread.close(nothing)


def loom_threads() -> list[threading.Thread]:
    """Return the loop threads that are alive."""
    return [thread for thread in threading.enumerate() if thread.name == "loomwire"]
