"""closing_on_signals: a container that ends well when its process is told to end. Needs no extra."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType
from typing import Final

from loomwire.container.facade import LLMContainer
from loomwire.domain.errors import LLMValidationError

_USUAL: Final = (signal.SIGTERM, signal.SIGINT)
_NOBODY: Final = 0
_LOGGER = logging.getLogger("loomwire.hosts")


@contextmanager
def closing_on_signals(
    container: LLMContainer, *signals: signal.Signals, drain: float | None = None
) -> Generator[None]:
    """Close a container when the process is told to end, while the block runs.

    The first signal closes it: new calls are refused, those in flight may end. A second one, of any of the kinds, ends
    them at once. Once it is closed the first signal takes the course it would have taken: SIGTERM ends the process,
    SIGINT raises `KeyboardInterrupt` or whatever your handler does. The library handles no signal unless you ask here.

    Only in the main thread, in an event loop or not. A host with handlers of its own, such as a web server or a task
    queue, does not need it: let its shutdown hook call `close()` or `aclose()`.

    Args:
        container: Closed, on a thread of its own.
        *signals: Which ones; SIGTERM and SIGINT unless given.
        drain: As in `LLMContainer.close`.

    Raises:
        LLMValidationError: Not in the main thread.

    Example:
        >>> from loomwire import LLMContainer, LLMRequest
        >>> with LLMContainer.open("config") as container, closing_on_signals(container):
        ...     container.sync_client("planner").generate(LLMRequest.of("Hello")).finish
        'stop'
    """
    if threading.current_thread() is not threading.main_thread():
        raise LLMValidationError(
            "signals are handled in the main thread only", hint="Enter closing_on_signals where the process starts."
        )
    watch = _Watch(container, drain)
    try:
        watch.start(signals or _USUAL)
        yield
    finally:
        watch.stop()


class _Watch:
    """Handles the signals of one block; only `handle`, `start` and `stop` run in the main thread."""

    def __init__(self, container: LLMContainer, drain: float | None) -> None:
        self._container = container
        self._drain = drain
        self._before: dict[signal.Signals, object] = {}
        # The one queue that may be filled in the middle of anything, itself included.
        self._told: SimpleQueue[int | None] = SimpleQueue()
        # Begun before any signal comes: a handler that starts a thread may wait for itself.
        self._thread = threading.Thread(target=self._work, name="loomwire-signals", daemon=True)
        self._closed = False

    def start(self, signals: tuple[signal.Signals, ...]) -> None:
        self._thread.start()
        for number in signals:
            self._before[number] = signal.signal(number, self.handle)

    def stop(self) -> None:
        self._told.put(_NOBODY)
        # Signals that come while it closes go on hurrying it.
        self._thread.join()
        self._give_back()

    def handle(self, number: int, _: FrameType | None) -> None:
        if self._closed:
            self._give_back()
            signal.raise_signal(number)
        else:
            self._told.put(number)

    def _give_back(self) -> None:
        before, self._before = self._before, {}
        for number, handler in before.items():
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
