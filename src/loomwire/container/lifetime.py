"""What runs for a container, and how it ends when nobody holds the container any more and nobody closed it."""

from __future__ import annotations

import importlib
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import TypeAlias

from loomwire.application.loop_thread import LoopThread
from loomwire.application.registry import ClientRegistry, Reduced
from loomwire.application.reload.store import ConfigStore
from loomwire.domain.errors import WiringError
from loomwire.domain.ports.config import IConfigSource
from loomwire.infrastructure.configuration.source import FolderSource
from loomwire.infrastructure.watching.watcher import ConfigWatcher

Ending: TypeAlias = "weakref.finalize[[str, ConfigWatcher | None, LoopThread], ClientRegistry]"


def watcher_of(source: IConfigSource | None, store: ConfigStore) -> ConfigWatcher | None:
    """Return a watcher, not started, that reloads a store and does not keep it alive.

    Args:
        source: What is watched; None for a configuration in code, which never changes.
        store: What is told.

    Raises:
        WiringError: Nobody knows how to watch this source.
    """
    if source is None:
        return None
    if not isinstance(source, FolderSource):
        kind = type(source).__name__
        problem = f"WIR002 config_source: {kind} reads a configuration, and nobody can tell when it changes"
        hint = "Pass watch=False, and call reload() or `await areload()` when it may have changed."
        raise WiringError(f"the configuration cannot be watched: {problem}", problems=[problem], hint=hint)
    held = weakref.ref(store)

    def reload() -> None:
        """Reload the store, unless nobody holds it any more."""
        living = held()
        if living is not None:
            living.reload()

    return ConfigWatcher(source.root, lambda: source.watched, reload)


def ending_with(
    registry: ClientRegistry, store: ConfigStore, place: str, watcher: ConfigWatcher | None, threads: LoopThread
) -> Ending:
    """End watcher and loop thread, and warn, once nobody holds the registry any more; `detach()` what comes back.

    Every client, pinned run and call holds the registry, and that the store: a container that is dropped while they are
    in use goes on for them, edits included, and ends with the last of them. Nothing happens when the process ends.

    Args:
        registry: Whose end it is.
        store: Kept alive by the registry from now on.
        place: Where the configuration comes from, for the warning.
        watcher: Ended; None when nobody watches.
        threads: Ended.
    """
    registry.keeper = store
    ending: Ending = weakref.finalize(registry, _end, place, watcher, threads)
    ending.atexit = False
    return ending


def _end(place: str, watcher: ConfigWatcher | None, threads: LoopThread) -> None:
    # The garbage collector calls this, perhaps on one of these very threads: it may wait for nothing.
    had_loop = threads.end_soon()
    was_watching = watcher is not None and watcher.end_soon()
    if had_loop or was_watching:
        warnings.warn(
            f"the container of {place!r} was dropped without close(): its threads end now; "
            "use `with LLMContainer.open(...)` or `async with LLMContainer.aopen(...)`, or call close() or aclose()",
            ResourceWarning,
            stacklevel=1,
        )


def run_all(closers: Iterator[Callable[[], None]], errors: list[Exception] | None = None) -> None:
    """Run every closer, whatever becomes of the others; raises one ExceptionGroup of all that failed."""
    failed = list(errors or ())
    for closer in closers:
        try:
            closer()
        except Exception as error:  # noqa: BLE001  # everything runs; what failed is reported together
            failed.append(error)
    if failed:
        raise ExceptionGroup("closing the container failed", failed)


class Home:
    """Tells other processes where to find a client."""

    def __init__(self, root: str) -> None:
        """Find clients in the container of `root`."""
        self._root = root

    def __call__(self, name: str, blocking: bool) -> Reduced:  # noqa: FBT001  # see `application.registry.Home`
        """Return the function that finds a client there, or its blocking twin, and what it takes."""
        # By name: that module opens containers, so it imports this one.
        process = importlib.import_module("loomwire.container.process")
        return process.sync_client_of if blocking else process.client_of, (self._root, name)
