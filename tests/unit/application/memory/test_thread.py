from __future__ import annotations

import gc
import queue
import threading
from typing import Final

from typing_extensions import override

from loomwire.application.memory.thread import NAME, Looking, MemoryThread
from support.forking import is_true_in_child
from support.memory import watchers

LONG_S: Final = 3600.0
SOON_S: Final = 10.0


class Watchman(Looking):
    """Notes the thread of every look."""

    def __init__(self, wait: float = LONG_S) -> None:
        self.looks: queue.SimpleQueue[threading.Thread] = queue.SimpleQueue()
        self.thread = MemoryThread(self)
        self.wait = wait

    @override
    def look(self) -> None:
        self.looks.put(threading.current_thread())

    @override
    def wait_s(self) -> float:
        return self.wait


def test_it_looks_again_and_again_on_a_daemon_thread_of_its_own_until_it_is_stopped() -> None:
    watchman = Watchman(0.001)
    watchman.thread.start(0.001)
    threads = {watchman.looks.get(timeout=SOON_S) for _ in range(5)}
    (thread,) = threads
    assert (thread.name, thread.daemon, watchman.thread.running) == (NAME, True, True)
    watchman.thread.stop()
    assert (thread.is_alive(), watchman.thread.running) == (False, False)
    watchman.thread.stop()


def test_it_begins_once() -> None:
    watchman = Watchman()
    watchman.thread.start(LONG_S)
    (thread,) = watchers()
    watchman.thread.start(LONG_S)
    assert watchers() == [thread]
    watchman.thread.stop()


def test_it_looks_at_once_when_it_is_woken() -> None:
    watchman = Watchman()
    watchman.thread.wake()
    watchman.thread.start(LONG_S)
    watchman.thread.wake()
    watchman.looks.get(timeout=SOON_S)
    watchman.thread.stop()


def test_it_ends_with_what_looks() -> None:
    watchman = Watchman()
    watchman.thread.start(LONG_S)
    (thread,) = watchers()
    del watchman
    gc.collect()
    thread.join(SOON_S)
    assert not thread.is_alive()


def test_what_looks_may_be_gone_before_it_ever_looked() -> None:
    watchman = Watchman()
    del watchman
    gc.collect()
    assert watchers() == []


def test_a_look_that_outlasts_its_owner_is_the_last() -> None:
    began, goes_on = threading.Event(), threading.Event()

    class Slow(Watchman):
        @override
        def look(self) -> None:
            began.set()
            goes_on.wait(SOON_S)

    slow = Slow()
    slow.thread.start(0.0)
    (thread,) = watchers()
    assert began.wait(SOON_S)
    del slow
    goes_on.set()
    thread.join(SOON_S)
    assert not thread.is_alive()


def test_a_look_may_stop_its_own_thread() -> None:
    class Last(Watchman):
        @override
        def look(self) -> None:
            self.thread.stop()
            super().look()

    last = Last(0.0)
    last.thread.start(0.0)
    thread = last.looks.get(timeout=SOON_S)
    thread.join(SOON_S)
    assert not thread.is_alive()


class NoThread(threading.Thread):
    """A thread of a process that has as many as it may."""

    @override
    def start(self) -> None:
        raise RuntimeError("can't start new thread")


def test_a_process_without_a_thread_to_spare_goes_on_without() -> None:
    watchman = Watchman()
    full = MemoryThread(watchman, NoThread)
    full.start(LONG_S)
    assert not full.running


def test_a_child_has_no_thread_until_it_begins_one() -> None:
    watchman = Watchman()
    watchman.thread.start(LONG_S)

    def child() -> bool:
        watchman.thread.after_fork()
        was_running = watchman.thread.running
        watchman.thread.start(0.0)
        watchman.looks.get(timeout=SOON_S)
        return not was_running and watchman.thread.running

    assert is_true_in_child(child)
    assert watchman.thread.running
    watchman.thread.stop()
