"""Tells listeners on a thread beside the reloading, in order; one that takes too long is left to itself."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, final

from loomwire.application.forks import renew_after_fork
from loomwire.application.reload.ear import Call, Ear

if TYPE_CHECKING:
    from loomwire.application.reload.results import SlowListener

SLOW_S: Final = 1.0
"""Longest wait for a plain listener: then the others are told without it, and `health()` shows it."""
MOST_LEFT: Final = 8
"""Plain listeners that may be left to themselves at a time, each on its thread; behind one more everybody waits."""
MOST_WAITING: Final = 32
"""Events that wait for a listener that is left to itself; one more, and the oldest is dropped and counted."""

_LOGGER = logging.getLogger("loomwire.reload")


@final
class Teller:
    """Tells what is handed in, in one order for all listeners, on one thread that lives as long as there is something.

    A listener that runs longer than `slow_s` keeps that thread to itself, another one goes on with the others, and
    what it has missed it is told when it is done. Safe for threads; a forked child goes on with what was not told.

    Args:
        slow_s: How long that is, in seconds.
        start: Starts a thread.
    """

    def __init__(
        self, slow_s: float = SLOW_S, start: Callable[[threading.Thread], None] = threading.Thread.start
    ) -> None:
        """Begin with nothing to tell and no thread."""
        self._slow_s = slow_s
        self._start = start
        self._posts: deque[tuple[Ear, Call]] = deque()
        self._running: dict[threading.Thread, Ear] = {}
        self._lossy: dict[Ear, None] = {}
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Take a new lock and no thread in a child; what goes on in the parent is told there."""
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None
        for ear in self._running.values():
            self._posts.extendleft((ear, call) for call in reversed(ear.waiting))
            ear.waiting.clear()
            ear.since = None
        self._running.clear()

    @property
    def slow(self) -> tuple[SlowListener, ...]:
        """The listeners that take too long now, and those that missed something because they did."""
        from loomwire.application.reload.results import SlowListener

        with self._lock:
            late = [ear for ear in self._running.values() if ear.ran() >= self._slow_s]
            lossy = [ear for ear in self._lossy if not ear.gone]
            posts = [ear for ear, _ in self._posts]
            return tuple(
                SlowListener(ear.name, ear.ran(), len(ear.waiting) + posts.count(ear), ear.dropped)
                for ear in dict.fromkeys((*late, *lossy))
            )

    def put(self, ear: Ear, call: Call) -> None:
        """Hand in something to tell; call `run` once no lock is held."""
        with self._lock:
            self._posts.append((ear, call))

    def run(self) -> None:
        """Have everything told, and wait for it, but for no listener longer than `slow_s`.

        From within a listener it returns at once: what was handed in comes after.
        """
        while True:
            with self._lock:
                late = self._left()
                worker = None if late is not None and self._worker is not None else self._working()
            if late is not None and not late.logged:
                late.logged = True
                _LOGGER.warning(
                    "a listener of reloads has been running for more than %g s: %s", self._slow_s, late.name
                )
            if worker is None or not self._awaited(worker):
                return

    def _awaited(self, worker: threading.Thread) -> bool:
        """Wait for the telling as long as its listener may take; return False from within a listener."""
        ear = self._running.get(worker)
        if worker is not threading.current_thread():
            worker.join(self._slow_s if ear is None else max(self._slow_s - ear.ran(), 0.0))
        elif ear is None:
            self._work()
        return ear is None or worker is not threading.current_thread()

    def _left(self) -> Ear | None:
        """Leave the telling thread to a listener that takes too long, and return that one."""
        ear = None if self._worker is None else self._running.get(self._worker)
        if ear is None or ear.ran() < self._slow_s:
            return None
        if len(self._running) <= MOST_LEFT:
            self._worker = None
        return ear

    def _working(self) -> threading.Thread | None:
        """Return the thread that tells what waits, begun if need be; None when nothing does."""
        if self._worker is None and self._posts:
            self._worker = threading.Thread(target=self._work, name="loomwire-tell", daemon=True)
            try:
                self._start(self._worker)
            except RuntimeError:
                # No more threads: rather late than never.
                self._worker = threading.current_thread()
        return self._worker

    def _work(self) -> None:
        while (call := self._next()) is not None:
            call()

    def _next(self) -> Callable[[], None] | None:
        """Return what this thread does next, or None when others do it."""
        me = threading.current_thread()
        with self._lock:
            ear = self._running.pop(me, None)
            if ear is not None:
                ear.since = None
                if ear.waiting and not ear.gone:
                    return self._begun(me, ear, ear.waiting.popleft())
            while self._worker is me and self._posts:
                ear, call = self._posts.popleft()
                if ear.since is not None:
                    self._put_off(ear, call)
                elif not ear.gone:
                    return self._begun(me, ear, call)
            if self._worker is me:
                self._worker = None
            return None

    def _begun(self, me: threading.Thread, ear: Ear, call: Call) -> Callable[[], None]:
        self._running[me] = ear
        ear.begin()
        return partial(ear.call, call)

    def _put_off(self, ear: Ear, call: Call) -> None:
        ear.waiting.append(call)
        if len(ear.waiting) > MOST_WAITING:
            ear.waiting.popleft()
            ear.dropped += 1
            self._lossy[ear] = None
