"""A model file served in this process: started by the first call, shared by its clients, stopped with the last."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final, TypeAlias

from loomwire.domain.errors import LLMError, llm_error
from loomwire.domain.ports.clock import IClock
from loomwire.domain.requests import Bound

if TYPE_CHECKING:
    from loomwire.infrastructure.local.engine import Engine
    from loomwire.infrastructure.local.settings import LocalSettings

Starter: TypeAlias = "Callable[[LocalSettings], Engine]"
"""Loads a model and serves it; blocks, and raises `LoadError`."""

_Loading: TypeAlias = "Future[Engine | str]"


def started(settings: LocalSettings) -> Engine:
    """Load a model and serve it; see `start_engine`, which is imported here because few processes have such a model."""
    from loomwire.infrastructure.local.engine import start_engine

    return start_engine(settings)


_inherited: Final[list[_Loading | None]] = []
"""Kept: whoever drops the last hold of an engine stops it, and waits for threads that no child has."""


class LocalServer:
    """Starts an engine once, on a thread of its own, and counts who needs it. Safe from any thread and event loop.

    A call that gives up while the model loads leaves the load to the others. A load that failed is tried again by the
    next call. The engine stops once it has no user and no call under way.

    Args:
        settings: What to serve.
        start: How.
    """

    def __init__(self, settings: LocalSettings, start: Starter = started) -> None:
        """Start nothing yet."""
        self.settings = settings
        self._start = start
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew: the parent's engine and the thread that loads it are not here. Its users are."""
        # Reentrant, because the end of a user may come by garbage collection, in the middle of anything.
        self._lock = threading.RLock()
        _inherited.append(getattr(self, "_loading", None))
        self._loading: _Loading | None = None
        self._calls = 0
        self._users = getattr(self, "_users", 0)
        self.stopped = threading.Event()

    def join(self) -> None:
        """Count a user in."""
        with self._lock:
            self._users += 1

    def leave(self) -> bool:
        """Count a user off; returns whether the engine stops now."""
        with self._lock:
            self._users -= 1
            return self._stop_if_unused()

    def end(self) -> None:
        """Count a call off that `begin` counted in."""
        with self._lock:
            self._calls -= 1
            self._stop_if_unused()

    async def begin(self, clock: IClock, bound: Bound | None) -> Engine:
        """Count a call in and return the engine, started if need be. Whoever gets it calls `end`.

        Args:
            clock: Whose instants bounds are.
            bound: Until when to wait; None waits as long as it takes.

        Raises:
            LLMError: The model cannot be served, or the bound passed while it was loading.
        """
        with self._lock:
            self._calls += 1
            loading = self._loading or self._load()
        try:
            found = loading.result() if loading.done() else await _waited(loading, clock, bound)
        except BaseException:
            self.end()
            raise
        if isinstance(found, str):
            self.end()
            raise _not_served(found)
        return found

    def _load(self) -> _Loading:
        loading: _Loading = Future()
        # From here on nobody who waits can cancel it.
        loading.set_running_or_notify_cancel()
        self._loading = loading
        self.stopped.clear()
        threading.Thread(target=self._run, args=(loading,), name="loomwire-local-load", daemon=False).start()
        return loading

    def _run(self, loading: _Loading) -> None:
        from loomwire.infrastructure.local.engine import LoadError
        from loomwire.infrastructure.local.settings import file_complaint

        found: Engine | str
        try:
            found = file_complaint(self.settings.model_path) or self._start(self.settings)
        except LoadError as error:
            found = str(error)
        except Exception as error:  # noqa: BLE001  # whoever waits must hear of it, whatever it is
            found = f"the model cannot be loaded ({type(error).__name__})"
        with self._lock:
            # A failed load is forgotten, so that what is kept always holds an engine.
            self._loading = None if isinstance(found, str) else self._loading
            loading.set_result(found)
            self._stop_if_unused()

    def _stop_if_unused(self) -> bool:
        loading = self._loading
        if self._users > 0 or self._calls > 0 or loading is None or not loading.done():
            return False
        self._loading = None
        # On a thread, because stopping waits; the last to go may be an event loop or the garbage collector.
        words = (loading.result(), self.stopped)
        threading.Thread(target=_stop, args=words, name="loomwire-local-stop").start()
        return True


class LocalLease:
    """One client's share of a server; given back by `close`, or when the client is gone.

    Args:
        server: Shared with others.
    """

    def __init__(self, server: LocalServer) -> None:
        """Count a user in."""
        server.join()
        self.server = server
        self._closer = weakref.finalize(self, _leave, server)
        self._closer.atexit = False

    @property
    def closed(self) -> bool:
        """Whether it was given back."""
        return not self._closer.alive

    def close(self) -> bool:
        """Give it back; returns whether that stops the server. Idempotent."""
        return bool(self._closer())


class LocalServers:
    """The leases of one container on the servers of the process, so that closing the container gives them all back.

    Args:
        start: How engines are started.
    """

    def __init__(self, start: Starter = started) -> None:
        """Hold no lease."""
        self._start = start
        self._leases: weakref.WeakSet[LocalLease] = weakref.WeakSet()
        self._closed = False

    def lease(self, settings: LocalSettings) -> LocalLease:
        """Return a share of the one server for these settings; starts nothing.

        Raises:
            LLMError: The container is closed.
        """
        if self._closed:
            raise llm_error("closed", "the container of this model is closed")
        with _table_lock:
            server = _table.get((settings, self._start))
            if server is None:
                server = _table[settings, self._start] = LocalServer(settings, self._start)
            lease = LocalLease(server)
        self._leases.add(lease)
        return lease

    def close(self, patience_s: float = 10.0) -> None:
        """Give every lease back and wait for the servers that nobody else uses. Blocks; idempotent.

        Args:
            patience_s: Seconds at most for all of them; a server whose calls go on stops when the last call ends.
        """
        self._closed = True
        ending = [lease.server for lease in tuple(self._leases) if lease.close()]
        share = patience_s / max(1, len(ending))
        for server in ending:
            server.stopped.wait(share)


_table: weakref.WeakValueDictionary[tuple[LocalSettings, Starter], LocalServer] = weakref.WeakValueDictionary()
_table_lock = threading.RLock()


async def _waited(loading: _Loading, clock: IClock, bound: Bound | None) -> Engine | str:
    limit = nullcontext() if bound is None else clock.timeout_at(bound.at)
    try:
        async with limit:
            return await asyncio.shield(asyncio.wrap_future(loading))
    except TimeoutError:
        reason = "deadline" if bound is None else bound.reason
    raise llm_error(reason, "the model was still being loaded", phase="connect")


def _not_served(why: str) -> LLMError:
    hint = "Check `model_path` and the file; `loomwire check` tells more."
    return llm_error("model", f"the local model is not served: {why}", hint=hint, phase="connect")


def _leave(server: LocalServer) -> bool:
    return server.leave()


def _stop(engine: Engine | str, stopped: threading.Event) -> None:
    try:
        if not isinstance(engine, str):  # pragma: no branch  # a failed load is never kept
            engine.stop()
    finally:
        stopped.set()


def _after_fork() -> None:
    global _table_lock  # noqa: PLW0603  # a thread of the parent may have held it
    _table_lock = threading.RLock()
    for server in tuple(_table.values()):
        server.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_after_fork)
