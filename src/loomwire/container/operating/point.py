"""ControlPoint: the socket at which a running container is asked, for as long as its configuration names one."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loomwire.application.forks import renew_after_fork
from loomwire.application.loop_thread import LoopThread
from loomwire.application.reload.manager import LLMConfigManager
from loomwire.domain.config import Snapshot
from loomwire.domain.errors import ClientRemovedError

if TYPE_CHECKING:
    from loomwire.container.operating.operations import Operated
    from loomwire.infrastructure.control.places import Place

_BEGIN_S: Final = 1.0
_log: Final = logging.getLogger("loomwire.control")


class ControlPoint:
    """Listens where the configuration in force says, and follows it. Safe for threads; blocks on files.

    It does not keep its container alive: the socket ends with it, closed or dropped, and with the process. A forked
    child has none until its configuration changes. What keeps it from listening is logged, and nothing else fails.

    Args:
        container: What is asked.
        threads: Where the server runs.
    """

    def __init__(self, container: Operated, threads: LoopThread) -> None:
        """Listen nowhere yet."""
        self._threads = threads
        self._named: str | None = None
        self._ending: weakref.finalize[[int, Place, Future[None]], Operated] | None = None
        self._container = weakref.ref(container)
        self._closed = False
        self._place: Place | None = None
        self._lock = threading.Lock()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Let go of what is the parent's: its file stays, and it alone is asked there."""
        self._lock = threading.Lock()
        if self._ending is not None and self._place is not None:
            self._ending.detach()
            self._place.listening.close()
        self._named = self._ending = self._place = None

    def start(self, configs: LLMConfigManager) -> None:
        """Listen where the configuration in force says, and follow its edits."""
        held = weakref.ref(self)

        def follow(_old: Snapshot, new: Snapshot, _diff: object) -> None:
            point = held()
            if point is not None:
                point.follow(new)

        configs.on_config_updated(follow)
        self.follow(configs.snapshot)

    def follow(self, snapshot: Snapshot) -> None:
        """Listen where a configuration says from now on, or nowhere."""
        with self._lock:
            if self._closed or snapshot.control_socket == self._named:
                return
            self._end()
            self._named = snapshot.control_socket
            if self._named is not None:
                self._begin(Path(self._named))

    def close(self) -> None:
        """Listen no more, for good, and remove the socket. Idempotent."""
        with self._lock:
            self._closed = True
            self._end()

    def _begin(self, named: Path) -> None:
        container = self._container()
        if container is None:
            return
        # What serves is imported where a socket is configured: every process pays for opening a container.
        from loomwire.container.operating.operations import Operations
        from loomwire.infrastructure.control.places import open_place
        from loomwire.infrastructure.control.server import ControlServer

        try:
            place = open_place(named)
        except (OSError, AttributeError) as error:
            # Without `socket.AF_UNIX` there is an AttributeError, and the check of the configuration has said so.
            why = (error.strerror or str(error)) if isinstance(error, OSError) else "this system has none"
            _log.warning("no control socket beside %s: %s", named, why)
            return
        try:
            server = ControlServer(place.listening, Operations(self._container))
            serving = self._threads.begin(server.run())
        except ClientRemovedError:
            place.close()
            return
        # Cancelled before it began it would not close the socket.
        server.began.wait(_BEGIN_S)
        self._place = place
        # Also at the end of a process that closes nothing, and when the container is dropped.
        self._ending = weakref.finalize(container, _ended, os.getpid(), place, serving)

    def _end(self) -> None:
        if self._ending is not None:
            self._ending()
        self._ending = self._place = self._named = None


def _ended(pid: int, place: Place, serving: Future[None]) -> None:
    # In a forked child nothing of it is ours.
    if os.getpid() == pid:
        serving.cancel()
        place.path.unlink(missing_ok=True)
