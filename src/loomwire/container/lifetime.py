"""What runs for a container, and how it ends: closed by its host, or held by nobody any more."""

from __future__ import annotations

import asyncio
import importlib
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, TypeAlias

from loomwire.application.forks import renew_after_fork
from loomwire.application.lifecycle.last_calls import LastCalls
from loomwire.application.loop_thread import LoopThread, inside_a_loop
from loomwire.application.registry import ClientRegistry, Reduced
from loomwire.application.reload.store import ConfigStore
from loomwire.domain.errors import WiringError
from loomwire.domain.ports.config import IConfigSource
from loomwire.infrastructure.configuration.source import FolderSource

if TYPE_CHECKING:
    from dependency_injector import containers

    from loomwire.infrastructure.watching.watcher import ConfigWatcher

AFTER_ERROR_S: Final = 1.0
"""For how long calls in flight may go on when an error left the container's block, in seconds."""

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
    from loomwire.infrastructure.watching.watcher import ConfigWatcher

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


class Closing:
    """Closes a container; see `LLMContainer.close`. Safe for threads and event loops, any number of them at once.

    Args:
        wiring: The parts.
        registry: Whose calls end.
        ending: What would happen if nobody closed it.
        watcher: Ended; None when nobody watches.
        threads: Ended.
    """

    def __init__(
        self,
        wiring: containers.Container,
        registry: ClientRegistry,
        ending: Ending,
        watcher: ConfigWatcher | None,
        threads: LoopThread,
    ) -> None:
        """Close nothing yet."""
        self._wiring = wiring
        self._registry = registry
        self._ending = ending
        self._watcher = watcher
        self._threads = threads
        self._last_calls = LastCalls(registry.calls, wiring.clock())
        self._pool_closed = False
        self._further: list[Callable[[], None]] = []
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Take a new lock in a child."""
        # Reentrant: a signal's handler may close what the code below it is closing.
        self._lock = threading.RLock()

    def first(self, closer: Callable[[], None]) -> None:
        """Call something, idempotent, before everything else, but after the last call has ended."""
        self._further.append(closer)

    def drain_after(self, error: type[BaseException] | None) -> float | None:
        """Return for how long calls may go on when the container's block was left; None for as long as is configured.

        Args:
            error: What left the block. What is no `Exception`, such as a cancellation, wants out now. After any other
                error the calls that the block began are probably nobody's, so they do not hold its message up for long.
        """
        if error is None:
            return None
        return min(self._usual_s, AFTER_ERROR_S) if issubclass(error, Exception) else 0.0

    def close(self, drain_s: float | None) -> None:
        """Close from synchronous code."""
        inside = inside_a_loop()
        self._refuse_calls(0.0 if inside else drain_s)
        try:
            if inside:
                # They need this very loop to end, so they end once it runs again.
                self._last_calls.end()
            else:
                self._last_calls.wait()
        finally:
            self._run_closers([])

    async def aclose(self, drain_s: float | None) -> None:
        """Close from async code."""
        self._refuse_calls(drain_s)
        errors: list[Exception] = []
        try:
            try:
                await self._last_calls.waited()
            finally:
                await self._close_pool()
        except Exception as error:  # noqa: BLE001  # everything runs; what failed is reported together
            errors.append(error)
        finally:
            # Also when this task is cancelled meanwhile: our threads would outlive the container. Shielded, because
            # what is cancelled before a thread is free never runs.
            closing = asyncio.get_running_loop().run_in_executor(None, self._run_closers, errors)
            await asyncio.shield(closing)

    def _refuse_calls(self, drain_s: float | None) -> None:
        self._last_calls.close(drain_s, self._usual_s)
        self._registry.close()

    @property
    def _usual_s(self) -> float:
        return self._registry.generation.snapshot.drain_s

    def _run_closers(self, errors: list[Exception]) -> None:
        failed = list(errors)
        with self._lock:
            for closer in self._closers():
                try:
                    closer()
                except Exception as error:  # noqa: BLE001  # everything runs; what failed is reported together
                    failed.append(error)
        if failed:
            raise ExceptionGroup("closing the container failed", failed)

    def _closers(self) -> Iterator[Callable[[], None]]:
        # Last built, first closed: nothing is reloaded any more, then the loop thread takes its connections with it.
        self._ending.detach()
        yield from self._further
        if self._watcher is not None:
            yield self._watcher.stop
        yield lambda: self._threads.close(self._close_pool)
        yield self._close_pool_without_loop
        # Last, because a server that still has calls would not stop.
        yield lambda: self._wiring.local_servers().close()

    def _close_pool_without_loop(self) -> None:
        """Close a pool that neither a loop of the host's nor our own has closed: it may have more than connections."""
        if not (self._pool_closed or inside_a_loop()):
            asyncio.run(self._close_pool())

    async def _close_pool(self) -> None:
        self._pool_closed = True
        await self._wiring.connection_pool().aclose()


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
