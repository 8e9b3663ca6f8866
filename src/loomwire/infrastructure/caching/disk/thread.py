"""DiskThread: the one thread that touches the file, and how tasks of any loop reach it."""

from __future__ import annotations

import os
import queue
import threading
import time
import weakref
from collections.abc import Callable
from typing import Final, final

from loomwire.infrastructure.caching.disk.room import AnyJob, DiskRoom

MOST_WAITING: Final = 1024
"""Looks that may wait; a disk that hangs must not cost memory."""
MOST_WAITING_BYTES: Final = 32 * 1024 * 1024
"""Bytes that may wait to be written."""

_SWAMPED: Final = 4 * MOST_WAITING
_AT_ONCE: Final = 64
_QUIET_S: Final = 0.5
_FORK_PATIENCE_S: Final = 1.0


@final
class DiskThread:
    """Does jobs of any thread and loop on a file, in the order in which they were asked for.

    The thread is started by the first job and ends with `stop`. It is a daemon: a process that ends does not wait for
    it, and SQLite takes care of what was half written.

    Args:
        make_room: Makes what owns the file.

    Attributes:
        room: The same.
    """

    def __init__(self, make_room: Callable[[], DiskRoom]) -> None:
        """Start nothing yet."""
        self._make_room = make_room
        self.room = make_room()
        self._begin()
        _living.add(self)

    def renew(self) -> None:
        """Begin anew in a child, with nothing waiting; the file that was open belongs to the parent."""
        debts = self.room.debts
        self.room = self._make_room()
        self.room.debts = debts
        self._begin()

    def _begin(self) -> None:
        # Reentrant: the collector may call `stop` of a cache that nobody has any more while this thread holds it.
        self._lock = threading.RLock()
        # Held while the file is in use, so that nobody forks then; no loop ever waits for it.
        self.in_use = threading.Lock()
        self._queue: queue.SimpleQueue[AnyJob | None] = queue.SimpleQueue()
        self._farewells: list[AnyJob] = []
        self._is_running = self._closed = False
        self._swamped = False
        self._waiting = self._waiting_bytes = 0

    @property
    def is_crowded(self) -> bool:
        """Whether so much waits that no more should be taken."""
        return self._waiting >= MOST_WAITING or self._waiting_bytes >= MOST_WAITING_BYTES

    def put(self, job: AnyJob) -> bool:
        """Take in a job; tell whether it was, and will be answered. Never waits."""
        with self._lock:
            if self._closed:
                return False
            if self._waiting >= _SWAMPED:
                self._swamped = self._swamped or bool(job.owes)
                return False
            if self._swamped and not job.owes:
                return False
            if not self._start():
                return False
            self._waiting += 1
            self._waiting_bytes += job.weight
            self._queue.put(job)
            return True

    def stop(self, farewell: AnyJob | None = None) -> bool:
        """Take nothing more, write what waits and close the file.

        Args:
            farewell: Is answered, and never done, as soon as the file is closed.

        Returns:
            Whether the file was open until now; if not, nobody answers.
        """
        with self._lock:
            if not self._closed:
                self._queue.put(None)
            self._closed = True
            if farewell is not None:
                self._farewells.append(farewell)
            return self._is_running

    def _start(self) -> bool:
        if not self._is_running:
            try:
                threading.Thread(target=self._run, name="loomwire-disk-cache", daemon=True).start()
            except RuntimeError:
                return False
            self._is_running = True
        return True

    def _run(self) -> None:
        going = True
        while going:
            jobs, going = self._collect()
            if not jobs and going:
                with self.in_use:
                    self.room.rest()
                continue
            self._work(jobs)
        with self.in_use:
            self.room.close()
        with self._lock:
            self._is_running = False
        for farewell in self._farewells:
            farewell.deliver()

    def _collect(self) -> tuple[list[AnyJob], bool]:
        jobs: list[AnyJob] = []
        try:
            job = self._queue.get(timeout=_QUIET_S if self.room.is_restless else None)
            while job is not None:
                jobs.append(job)
                if len(jobs) >= _AT_ONCE:
                    return jobs, True
                job = self._queue.get_nowait()
        except queue.Empty:
            return jobs, True
        return jobs, False

    def _work(self, jobs: list[AnyJob]) -> None:
        wanted = [job for job in jobs if job.writes or not job.future.cancelled()]
        with self.in_use:
            self._forget_all()
            if wanted:
                self.room.serve(wanted)
        with self._lock:
            self._waiting -= len(jobs)
            self._waiting_bytes -= sum(job.weight for job in jobs)
        for job in wanted:
            if job.is_open:
                self._put_back(job)
            else:
                job.deliver()

    def _forget_all(self) -> None:
        # What was asked for before was still taken in, so it must be done before.
        with self._lock:
            due = self._swamped and self._queue.empty()
            if due:
                self._swamped = False
        if due:
            self.room.debts.add(None)

    def _put_back(self, job: AnyJob) -> None:
        with self._lock:
            self._waiting += 1
            self._waiting_bytes += job.weight
            if not self._closed:
                self._queue.put(job)
                return
        # Nobody comes after the end, so it is done at once.
        while job.is_open:
            with self.in_use:
                self.room.serve([job])
        job.deliver()


_living: weakref.WeakSet[DiskThread] = weakref.WeakSet()
_held: Final = threading.local()


def _before_fork() -> None:
    # SQLite knows its locks by process and file, so no connection may be open while the process splits.
    until = time.monotonic() + _FORK_PATIENCE_S
    _held.threads = []
    for thread in sorted(_living, key=id):
        if thread.in_use.acquire(timeout=max(0.0, until - time.monotonic())):
            thread.room.leave()
            _held.threads.append(thread)


def _after_fork_in_parent() -> None:
    for thread in _held.threads:
        thread.in_use.release()
    _held.threads = []


def _after_fork_in_child() -> None:
    _held.threads = []
    for thread in [*_living]:
        thread.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
