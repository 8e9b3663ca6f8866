"""MemoryThread: looks again and again, for as long as somebody holds what looks."""

from __future__ import annotations

import queue
import threading
import weakref
from abc import abstractmethod
from typing import Final, Literal, Protocol, TypeAlias

from loomwire.application.loop_thread import inside_a_loop

STOP_S: Final = 1.0
"""Longest wait of `stop` for a look that is under way, in seconds."""
NAME: Final = "loomwire-memory"

_Inbox: TypeAlias = "queue.SimpleQueue[Literal['look', 'end']]"


class Looking(Protocol):
    """Looks at something now and then."""

    @abstractmethod
    def look(self) -> None:
        """Look once; never raises."""

    @abstractmethod
    def wait_s(self) -> float:
        """Return how long to wait for the next look, in seconds."""


class MemoryThread:
    """A daemon thread that holds what looks only while it looks. Safe for threads.

    Args:
        looking: What looks; held weakly, and the thread ends with it.
        kind: The class of the thread.
    """

    def __init__(self, looking: Looking, kind: type[threading.Thread] = threading.Thread) -> None:
        """Start nothing yet."""
        self._kind = kind
        # Its queue can be used by finalizers, which run in the middle of anything.
        self._looking = weakref.ref(looking, self._gone)
        self._inbox: _Inbox | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def after_fork(self) -> None:
        """Have no thread in a child: the parent kept it."""
        self._lock = threading.Lock()
        self._inbox = self._thread = None

    @property
    def running(self) -> bool:
        """Whether it looks again and again."""
        thread = self._thread
        return self._inbox is not None and thread is not None and thread.is_alive()

    def start(self, first_s: float) -> None:
        """Begin, with the first look after some seconds; or do nothing when begun. A process may have no thread left.

        Args:
            first_s: Until the first look.
        """
        with self._lock:
            if self._inbox is not None:
                return
            inbox: _Inbox = queue.SimpleQueue()
            thread = self._kind(target=_run, args=(self._looking, inbox, first_s), name=NAME, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return
            self._inbox, self._thread = inbox, thread

    def wake(self) -> None:
        """Have the next look come now."""
        inbox = self._inbox
        if inbox is not None:
            inbox.put("look")

    def stop(self) -> None:
        """End; waits a moment for a look that is under way, but not when called from it or inside an event loop."""
        with self._lock:
            inbox, thread = self._inbox, self._thread
            self._inbox = self._thread = None
        if inbox is not None:
            inbox.put("end")
        if thread is not None and thread is not threading.current_thread() and not inside_a_loop():
            thread.join(STOP_S)

    def _gone(self, _: weakref.ref[Looking]) -> None:
        inbox = self._inbox
        if inbox is not None:
            inbox.put("end")


def _run(held: weakref.ref[Looking], inbox: _Inbox, wait_s: float) -> None:
    while _goes_on(inbox, wait_s) and (looking := held()) is not None:
        looking.look()
        wait_s = looking.wait_s()
        del looking


def _goes_on(inbox: _Inbox, wait_s: float) -> bool:
    try:
        return inbox.get(timeout=wait_s) == "look"
    except queue.Empty:
        return True
