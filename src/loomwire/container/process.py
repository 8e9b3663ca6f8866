"""One container per process and configuration: for task queues, notebooks, and clients that come out of a pickle."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeAlias

from loomwire.application.sync import SyncLLMClient
from loomwire.container.facade import LLMContainer
from loomwire.domain.ports.client import ILLMClient
from loomwire.infrastructure.configuration.files import absolute

StrPath: TypeAlias = str | os.PathLike[str]


class ProcessContainers:
    """The containers of this process, by root. Safe for threads."""

    def __init__(self) -> None:
        """Open none yet."""
        self._open: dict[str, LLMContainer] = {}
        self._inherited: list[dict[str, LLMContainer]] = []
        self._lock = threading.Lock()

    def get(self, root: str) -> LLMContainer:
        """Return the container of a root, opened when there is none or when somebody closed it."""
        known = self._open.get(root)
        if known is not None and not known.closed:
            return known
        with self._lock:
            known = self._open.get(root)
            if known is None or known.closed:
                known = self._open[root] = _opened(root)
            return known

    def end(self) -> None:
        """Close what is open, as well as can be while the process ends; calls in flight are not waited for."""
        for container in tuple(self._open.values()):
            with suppress(Exception):
                container.close(drain=0)

    def after_fork(self) -> None:
        """Begin anew in a child; the parent's containers are kept and never closed, their sockets are not ours."""
        self._lock = threading.Lock()
        self._inherited.append(self._open)
        self._open = {}


_CONTAINERS = ProcessContainers()
atexit.register(_CONTAINERS.end)


def process_container(root: StrPath) -> LLMContainer:
    """Return this process's container of a configuration; the first call opens it, and so does a forked child's first.

    It follows edits, is closed when the process ends, and is shared by all who ask, so nobody should close it; after
    somebody did, the next call opens another. The first call blocks for the opening, also in an event loop: there, use
    `await asyncio.to_thread(process_container, root)` once at the start. Safe for threads.

    Args:
        root: The configuration folder, or one YAML file.

    Raises:
        ConfigRejectedError: The configuration has problems; the next call tries again.
    """
    return _CONTAINERS.get(absolute(root))


def client_of(root: str, name: str) -> ILLMClient:
    """Return a client of this process's container of a configuration; what a pickled client comes back as.

    Raises:
        UnknownNameError: No such client here.
    """
    return process_container(root).llm_client(name)


def sync_client_of(root: str, name: str) -> SyncLLMClient:
    """Return the blocking twin of `client_of`."""
    return process_container(root).sync_client(name)


def _opened(root: str) -> LLMContainer:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return LLMContainer.open(root)
    # `open` refuses to block a running loop, and here somebody waits for it in any case.
    with ThreadPoolExecutor(1, "loomwire-open") as thread:
        return thread.submit(LLMContainer.open, root).result()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_CONTAINERS.after_fork)
