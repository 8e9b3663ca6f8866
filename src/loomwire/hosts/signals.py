"""ClosingOnSignals: a container that ends well when its process is told to end. Needs no extra."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import Final

from typing_extensions import override

from loomwire.application.loop_thread import refuse_in_loop
from loomwire.container.facade import LLMContainer
from loomwire.domain.errors import LLMValidationError

_USUAL: Final = (signal.SIGTERM, signal.SIGINT)
_NOBODY: Final = 0
_LOGGER = logging.getLogger("loomwire.hosts")


class ClosingOnSignals(AbstractContextManager[None], AbstractAsyncContextManager[None]):
    """Closes a container when the process is told to end, while its `with` or `async with` block runs.

    The first signal closes it: new calls are refused, those in flight may end. A second one, of any of the kinds, ends
    them at once. Once it is closed the first signal takes the course it would have taken: SIGTERM ends the process,
    SIGINT raises `KeyboardInterrupt` or whatever your handler does. The library handles no signal unless you ask here.

    Only in the main thread. A host with handlers of its own, such as a web server or a task queue, does not need it:
    let its shutdown hook call `close()` or `aclose()`. Use one for one block.

    Args:
        container: Closed, on a thread of its own.
        *signals: Which ones; SIGTERM and SIGINT unless given.
        drain: As in `LLMContainer.close`.

    Raises:
        LLMValidationError: On entering, when that is not in the main thread, or `with` inside a running event loop.

    Example:
        >>> from loomwire import LLMContainer, LLMRequest
        >>> with LLMContainer.open("config") as container, ClosingOnSignals(container):
        ...     container.sync_client("planner").generate(LLMRequest.of("Hello")).finish
        'stop'
    """

    def __init__(self, container: LLMContainer, *signals: signal.Signals, drain: float | None = None) -> None:
        """Handle nothing yet."""
        self._container = container
        self._signals = signals or _USUAL
        self._drain = drain
        self._before: dict[signal.Signals, object] = {}
        # The one queue that may be filled in the middle of anything, itself included.
        self._told: SimpleQueue[int | None] = SimpleQueue()
        # Begun before any signal comes: a handler that starts a thread may wait for itself.
        self._thread = threading.Thread(target=self._work, name="loomwire-signals", daemon=True)
        self._closed = False

    @override
    def __enter__(self) -> None:
        refuse_in_loop("`with ClosingOnSignals(...)`", "`async with ClosingOnSignals(...)`")
        self._start()

    @override
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._told.put(_NOBODY)
        try:
            # Signals that come while it closes go on hurrying it.
            self._thread.join()
        finally:
            self._give_back()

    @override
    async def __aenter__(self) -> None:
        self._start()

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._told.put(_NOBODY)
        try:
            await asyncio.to_thread(self._thread.join)
        finally:
            self._give_back()

    def _start(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise LLMValidationError(
                "signals are handled in the main thread only", hint="Enter ClosingOnSignals where the process starts."
            )
        try:
            for number in self._signals:
                self._before[number] = signal.signal(number, self._handle)
        except BaseException:
            self._give_back()
            raise
        self._thread.start()

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._closed:
            self._give_back()
            signal.raise_signal(number)
        else:
            self._told.put(number)

    def _give_back(self) -> None:
        # One by one: a signal may come in the middle, and then this begins anew where it was.
        for number, handler in tuple(self._before.items()):
            # What was not set from Python cannot be set again from there.
            if callable(handler) or isinstance(handler, signal.Handlers):
                signal.signal(number, handler)

    def _work(self) -> None:
        first = self._told.get()
        if not first:
            return
        _LOGGER.info("signal %d: the container closes", first)
        closing = threading.Thread(target=self._drained, name="loomwire-signals-close", daemon=True)
        closing.start()
        while (number := self._told.get()) is not None:
            if number != _NOBODY:
                self._close(0.0)
        closing.join()
        self._closed = True
        # To the main thread, which may sleep in a lock: only a signal of its own wakes it.
        signal.pthread_kill(threading.main_thread().ident or 0, first)

    def _drained(self) -> None:
        self._close(self._drain)
        self._told.put(None)

    def _close(self, drain: float | None) -> None:
        try:
            self._container.close(drain=drain)
        except Exception:
            _LOGGER.exception("the container did not close as it should")
