"""Calls back when what a configuration is read from may have changed and has come to rest."""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
import time
import weakref
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, final

from loomwire.infrastructure.configuration.files import absolute
from loomwire.infrastructure.watching.lookout import Lookout
from loomwire.infrastructure.watching.settling import Hint
from loomwire.infrastructure.watching.survey import Survey, survey

if TYPE_CHECKING:
    from loomwire.infrastructure.watching.ears import Ears

STOP_S: Final = 1.0
"""Longest wait of `stop` for the thread."""
FORK_S: Final = 0.5
"""Longest wait of a fork for a reading that is under way."""

_LOGGER = logging.getLogger("loomwire.watching")
_Inbox: TypeAlias = "queue.SimpleQueue[tuple[Hint, str, float] | None]"


def _ears(hear: Callable[[Hint, str], None]) -> Ears:
    # Here, because starting must not wait for watchdog to be imported.
    from loomwire.infrastructure.watching.ears import Ears

    return Ears(hear)


@dataclass(frozen=True, slots=True)
class WatcherStatus:
    """What a watcher is doing.

    Attributes:
        running: Whether changes are looked for.
        places: How many directories are listened to.
        limit: Why changes in others are only found by looking once a second; None when all is heard.
        reads: How often `changed` was called in this process.
        failures: How often it, or `watched`, raised.
        last_failure: The type of the last such error.
    """

    running: bool
    places: int
    limit: str | None
    reads: int
    failures: int
    last_failure: str | None


@final
class ConfigWatcher:
    """Watches a configuration on a daemon thread of its own (and watchdog's).

    It reads no file: watchdog's events and a look from outside once a second are hints that content may have changed,
    and `changed` finds out. It is called once 150 ms after the start, and then about 20 ms after an edit is over,
    within 1.2 s on file systems that announce nothing. Never twice at once. What it or `watched` raises is logged once
    per type, by name only, and the watcher goes on. A forked child gets threads of its own; a fork waits a moment for
    a call under way, so that the child inherits nothing half done. Safe for several threads; no event loop is ever
    touched.

    Args:
        root: The folder, or the one file.
        watched: Asked at every look: the paths of every file the configuration is read from, existing or not.
        changed: Called on the watcher's thread.
        ears: Makes what hears watchdog's events; when it fails there is the look once a second.
    """

    def __init__(
        self,
        root: Path,
        watched: Callable[[], Collection[str]],
        changed: Callable[[], object],
        ears: Callable[[Callable[[Hint, str], None]], Ears] = _ears,
    ) -> None:
        """Watch nothing yet."""
        self._make_ears = ears
        self._deaf: str | None = None
        self._root = absolute(root)
        self._watched = watched
        self._changed = changed
        self._known: Collection[str] = ()
        self._gate = threading.Lock()
        self._reading = threading.RLock()
        self._forking: set[int] = set()
        self._inbox: _Inbox | None = None
        self._thread: threading.Thread | None = None
        self._ears: Ears | None = None
        self._reads = 0
        self._failures = 0
        self._last_failure: str | None = None
        self._logged: set[str] = set()

    @property
    def status(self) -> WatcherStatus:
        """What it is doing now."""
        ears, thread = self._ears, self._thread
        return WatcherStatus(
            running=self._inbox is not None and thread is not None and thread.is_alive(),
            places=ears.places if ears else 0,
            limit=ears.limit if ears else self._deaf,
            reads=self._reads,
            failures=self._failures,
            last_failure=self._last_failure,
        )

    def start(self) -> None:
        """Begin, or do nothing when begun. Returns at once; whatever changed before is found by the first reading."""
        with self._gate:
            if self._inbox is not None:
                return
            inbox: _Inbox = queue.SimpleQueue()
            thread = threading.Thread(target=self._run, args=(inbox,), name="loomwire-watch", daemon=True)
            thread.start()
            self._inbox, self._thread = inbox, thread
            _WATCHERS.add(self)

    def stop(self, wait_s: float = STOP_S) -> None:
        """End, or do nothing when ended. No call of `changed` begins afterwards.

        Args:
            wait_s: How long to wait for the thread, and so for a call of `changed` that is under way; never when called
                from it.
        """
        with self._gate:
            inbox, self._inbox = self._inbox, None
            thread = self._thread
        if inbox is not None:
            inbox.put(None)
        if thread is not None and thread is not threading.current_thread():
            thread.join(wait_s)

    def end_soon(self) -> bool:
        """End as `stop` does, but without a lock and without waiting, when nobody is left who could start it.

        For finalizers: they run on any thread, on the watcher's own too, in the middle of anything.

        Returns:
            Whether it was running.
        """
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            inbox.put(None)
        return inbox is not None

    def before_fork(self) -> None:
        """Let a reading that is under way come to its end, and none begin."""
        if self._reading.acquire(timeout=FORK_S):
            self._forking.add(threading.get_ident())

    def after_fork_here(self) -> None:
        """Go on in the parent."""
        if threading.get_ident() in self._forking:
            self._forking.remove(threading.get_ident())
            self._reading.release()

    def after_fork(self) -> None:
        """Begin anew in a forked child, whose parent keeps the threads."""
        is_running = self._inbox is not None
        self._gate, self._reading = threading.Lock(), threading.RLock()
        self._forking.clear()
        # Not stopped: they share the parent's inotify, and stopping would take its watches away.
        self._inbox = self._thread = self._ears = None
        self._reads = 0
        if is_running:
            self.start()

    def _run(self, inbox: _Inbox) -> None:
        ears = self._ears = self._listening(inbox)
        try:
            lookout = Lookout(lambda: self._look(ears), time.monotonic())
            while _heard(inbox, lookout):
                if lookout.turn(time.monotonic()):
                    self._read(inbox)
                    lookout.sweep_soon(time.monotonic())
        finally:
            if ears is not None:
                ears.stop()

    def _listening(self, inbox: _Inbox) -> Ears | None:
        try:
            return self._make_ears(lambda hint, path: inbox.put((hint, path, time.monotonic())))
        except Exception as error:  # noqa: BLE001  # a process that dropped its rights may not reach its libraries
            self._deaf = f"watchdog cannot be loaded ({type(error).__name__})"
            _LOGGER.warning("%s: changes of the configuration are found by looking once a second", self._deaf)
            return None

    def _look(self, ears: Ears | None) -> Survey:
        try:
            self._known = self._watched()
        except Exception as error:  # noqa: BLE001  # whatever the store does, the thread must live on
            self._failed(error)
        found = survey(self._root, self._known)
        # What happened between the look and the listening was not heard.
        return survey(self._root, self._known) if ears is not None and ears.listen(found.places) else found

    def _read(self, inbox: _Inbox) -> None:
        with self._reading:
            with self._gate:
                if self._inbox is not inbox:
                    return
                self._reads += 1
            try:
                self._changed()
            except BaseException as error:  # noqa: BLE001  # a listener's SystemExit must not end the watching
                self._failed(error)

    def _failed(self, error: BaseException) -> None:
        self._failures += 1
        self._last_failure = type(error).__name__
        if self._last_failure not in self._logged:
            self._logged.add(self._last_failure)
            _LOGGER.error("the watcher of the configuration goes on after a failure: %s", self._last_failure)


def _heard(inbox: _Inbox, lookout: Lookout) -> bool:
    """Wait for hints until the next turn is due; return False when it is time to end."""
    wait_s = lookout.due() - time.monotonic()
    try:
        item = inbox.get(timeout=wait_s) if wait_s > 0 else inbox.get_nowait()
        while item is not None:
            lookout.hear(*item)
            item = inbox.get_nowait()
    except queue.Empty:
        return True
    return False


_WATCHERS: weakref.WeakSet[ConfigWatcher] = weakref.WeakSet()


def _each(action: Callable[[ConfigWatcher], None]) -> None:
    for watcher in tuple(_WATCHERS):
        action(watcher)


if sys.platform != "win32":  # pragma: no branch
    os.register_at_fork(
        before=partial(_each, ConfigWatcher.before_fork),
        after_in_parent=partial(_each, ConfigWatcher.after_fork_here),
        after_in_child=partial(_each, ConfigWatcher.after_fork),
    )
