"""The watcher's thread on real files: what starts, what stops, and what it survives."""

from __future__ import annotations

import gc
import logging
import os
import queue
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loomwire.infrastructure.watching.ears import Ears
from loomwire.infrastructure.watching.settling import Hint
from loomwire.infrastructure.watching.watcher import ConfigWatcher, WatcherStatus

LONGEST_S = 5.0
Read = queue.SimpleQueue[str]
IS_UNIX = sys.platform != "win32"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with one file."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "app.yaml").write_text("1", encoding="utf-8")
    return tmp_path / "conf"


@contextmanager
def watching(root: Path, changed: Callable[[], object]) -> Generator[ConfigWatcher]:
    """Watch a folder and stop in the end."""
    watcher = ConfigWatcher(root, lambda: [str(root / "app.yaml"), str(root / ".env")], changed)
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.stop()


def watch_threads() -> list[str]:
    """Return the threads of watchers and of watchdog that are alive."""
    words = ("loomwire-watch", "Inotify")
    return [
        name for thread in threading.enumerate() if (name := f"{thread.name} {type(thread).__name__}") and any(
            word in name for word in words
        )
    ]  # fmt: skip


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + LONGEST_S
    while not condition():
        assert time.monotonic() < end
        threading.Event().wait(0.005)


def test_it_reads_once_at_the_start_and_again_after_an_edit(root: Path) -> None:
    read: Read = queue.SimpleQueue()
    with watching(root, lambda: read.put((root / "app.yaml").read_text(encoding="utf-8"))) as watcher:
        assert read.get(timeout=LONGEST_S) == "1"
        (root / "app.yaml").write_text("2", encoding="utf-8")
        assert read.get(timeout=LONGEST_S) == "2"
        assert watcher.status == WatcherStatus(
            running=True, places=2, limit=None, reads=2, failures=0, last_failure=None
        )
    assert not watcher.status.running
    assert read.empty()


def test_without_watchdog_it_looks_once_a_second_and_says_so(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    def missing(_: Callable[[Hint, str], None]) -> Ears:
        raise ModuleNotFoundError("canary")

    read: Read = queue.SimpleQueue()
    watcher = ConfigWatcher(root, list, lambda: read.put((root / "app.yaml").read_text(encoding="utf-8")), missing)
    watcher.start()
    try:
        assert read.get(timeout=LONGEST_S) == "1"
        (root / "app.yaml").write_text("2", encoding="utf-8")
        assert read.get(timeout=LONGEST_S) == "2"
        assert watcher.status == WatcherStatus(
            running=True,
            places=0,
            limit="watchdog cannot be loaded (ModuleNotFoundError)",
            reads=2,
            failures=0,
            last_failure=None,
        )
    finally:
        watcher.stop()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "canary" not in caplog.text


def test_its_own_reading_is_no_reason_to_read_again(root: Path) -> None:
    reads: list[float] = []

    def changed() -> None:
        (root / "app.yaml").read_bytes()
        reads.append(time.monotonic())

    with watching(root, changed):
        threading.Event().wait(1.3)
    assert len(reads) == 1


def test_calls_never_overlap_and_come_from_one_thread(root: Path) -> None:
    threads: set[int] = set()
    at_work = threading.Lock()
    calls: Read = queue.SimpleQueue()

    def changed() -> None:
        assert at_work.acquire(blocking=False)
        threads.add(threading.get_ident())
        threading.Event().wait(0.03)
        at_work.release()
        calls.put("")

    with watching(root, changed) as watcher:
        calls.get(timeout=LONGEST_S)
        for number in range(5):
            (root / "app.yaml").write_text(str(number), encoding="utf-8")
            threading.Event().wait(0.03)
        calls.get(timeout=LONGEST_S)
    assert watcher.status.failures == 0
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_starting_and_stopping_twice_is_starting_and_stopping_once(root: Path) -> None:
    before = len(watch_threads())
    began = threading.Event()
    watcher = ConfigWatcher(root, list, began.set)
    watcher.stop()
    watcher.start()
    watcher.start()
    assert began.wait(LONGEST_S)
    assert sum("loomwire-watch" in name for name in watch_threads()) == 1
    watcher.stop()
    watcher.stop()
    assert len(watch_threads()) == before


def test_it_can_be_started_again(root: Path) -> None:
    read: Read = queue.SimpleQueue()
    watcher = ConfigWatcher(root, list, lambda: read.put("read"))
    for _ in range(2):
        watcher.start()
        read.get(timeout=LONGEST_S)
        watcher.stop()
    assert read.empty()


def test_stopping_is_prompt_and_leaves_no_descriptor_behind(root: Path) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0

    def once() -> float:
        began = threading.Event()
        watcher = ConfigWatcher(root, list, began.set)
        watcher.start()
        assert began.wait(LONGEST_S)
        start = time.monotonic()
        watcher.stop()
        return time.monotonic() - start

    once()
    gc.collect()
    before = descriptors()
    longest = max(once() for _ in range(5))
    eventually(lambda: descriptors() <= before)
    assert longest < 1.0


def test_it_may_be_stopped_from_the_callback(root: Path) -> None:
    stopped = threading.Event()
    calls: list[int] = []

    def changed() -> None:
        calls.append(1)
        watcher.stop()
        stopped.set()

    with watching(root, changed) as watcher:
        assert stopped.wait(LONGEST_S)
        (root / "app.yaml").write_text("2", encoding="utf-8")
        eventually(lambda: not watch_threads())
    assert len(calls) == 1


def test_stopping_while_the_callback_runs_waits_no_longer_than_it_was_told(root: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    def changed() -> None:
        entered.set()
        leave.wait(LONGEST_S)

    with watching(root, changed) as watcher:
        assert entered.wait(LONGEST_S)
        start = time.monotonic()
        watcher.stop(wait_s=0.05)
        assert time.monotonic() - start < 1.0
        (root / "app.yaml").write_text("2", encoding="utf-8")
        leave.set()
        eventually(lambda: not watch_threads())
        assert watcher.status.reads == 1


def test_no_call_begins_after_it_was_stopped(root: Path) -> None:
    late: list[bool] = []
    stopped = threading.Event()
    for _ in range(10):
        stopped.clear()
        watcher = ConfigWatcher(root, list, lambda: late.append(stopped.is_set()))
        watcher.start()
        watcher.stop()
        stopped.set()
    assert not any(late)


def test_no_call_begins_when_it_is_stopped_during_a_look(root: Path) -> None:
    calls: Read = queue.SimpleQueue()
    is_edited, entered, leave = threading.Event(), threading.Event(), threading.Event()

    def watched() -> list[str]:
        if is_edited.is_set():
            entered.set()
            leave.wait(LONGEST_S)
        return []

    watcher = ConfigWatcher(root, watched, lambda: calls.put("called"))
    watcher.start()
    calls.get(timeout=LONGEST_S)
    (root / "app.yaml").write_text("2", encoding="utf-8")
    is_edited.set()
    assert entered.wait(LONGEST_S)
    watcher.stop(wait_s=0)
    leave.set()
    watcher.stop()
    assert calls.empty()


def test_a_callback_that_fails_is_logged_once_per_kind_by_name_only_and_watched_on(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls: Read = queue.SimpleQueue()
    errors: list[BaseException] = [ValueError("sk-secret"), ValueError("sk-secret"), SystemExit("sk-secret")]

    def changed() -> None:
        calls.put("called")
        if errors:
            raise errors.pop()

    with caplog.at_level(logging.DEBUG), watching(root, changed) as watcher:
        for number in range(4):
            calls.get(timeout=LONGEST_S)
            (root / "app.yaml").write_text(str(number), encoding="utf-8")
        calls.get(timeout=LONGEST_S)
        assert (watcher.status.failures, watcher.status.last_failure) == (3, "ValueError")
    said = [record.getMessage() for record in caplog.records if record.name == "loomwire.watching"]
    assert [line.rsplit(" ", 1)[1] for line in said] == ["SystemExit", "ValueError"]
    assert "sk-secret" not in caplog.text


def test_a_list_of_files_that_cannot_be_had_is_replaced_by_the_one_before(tmp_path: Path, root: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("1", encoding="utf-8")
    read: Read = queue.SimpleQueue()
    lists = [[str(secret)], [str(secret)]]

    def watched() -> list[str]:
        return lists.pop()

    watcher = ConfigWatcher(root, watched, lambda: read.put(secret.read_text(encoding="utf-8")))
    watcher.start()
    try:
        read.get(timeout=LONGEST_S)
        eventually(lambda: watcher.status.reads == 1 and not lists)
        secret.write_text("2", encoding="utf-8")
        assert read.get(timeout=LONGEST_S) == "2"
        eventually(lambda: watcher.status.last_failure == "IndexError")
    finally:
        watcher.stop()


def test_a_file_that_is_read_only_since_the_last_reading_is_watched_from_then_on(tmp_path: Path, root: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("1", encoding="utf-8")
    known: list[str] = []
    read: Read = queue.SimpleQueue()

    def changed() -> None:
        known[:] = [str(secret)]
        read.put(secret.read_text(encoding="utf-8"))

    watcher = ConfigWatcher(root, lambda: known, changed)
    watcher.start()
    try:
        assert [read.get(timeout=LONGEST_S) for _ in range(2)] == ["1", "1"]
        secret.write_text("2", encoding="utf-8")
        assert read.get(timeout=LONGEST_S) == "2"
    finally:
        watcher.stop()


def test_a_root_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    read: Read = queue.SimpleQueue()
    root = tmp_path / "later"
    watcher = ConfigWatcher(root, list, lambda: read.put(str(root.exists())))
    watcher.start()
    try:
        assert read.get(timeout=LONGEST_S) == "False"
        root.mkdir()
        (root / "a.yaml").write_text("1", encoding="utf-8")
        while read.get(timeout=LONGEST_S) != "True":
            continue
    finally:
        watcher.stop()


def last_words(read: Read, watcher: ConfigWatcher, sender: int) -> None:
    """Be the child: wait for the edit, say so, and end."""
    try:
        seen = [read.get(timeout=LONGEST_S)]
        os.write(sender, b"ready")
        while seen[-1] != "2":
            seen.append(read.get(timeout=LONGEST_S))
        watcher.stop()
        os.write(sender, b"2")
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.skipif(not IS_UNIX, reason="there is no fork")
def test_a_forked_child_watches_on_with_threads_of_its_own_and_so_does_the_parent(root: Path) -> None:
    read: Read = queue.SimpleQueue()
    with watching(root, lambda: read.put((root / "app.yaml").read_text(encoding="utf-8"))) as watcher:
        assert read.get(timeout=LONGEST_S) == "1"
        receiver, sender = os.pipe()
        child = os.fork()
        if child == 0:
            last_words(read, watcher, sender)
        assert os.read(receiver, 5) == b"ready"
        (root / "app.yaml").write_text("2", encoding="utf-8")
        assert read.get(timeout=LONGEST_S) == "2"
        assert select.select([receiver], [], [], LONGEST_S)[0]
        assert os.read(receiver, 1) == b"2"
        (root / "app.yaml").write_text("3", encoding="utf-8")
        assert read.get(timeout=LONGEST_S) == "3"
        assert os.waitpid(child, 0)[1] == 0
        os.close(receiver)
        os.close(sender)


@pytest.mark.skipif(not IS_UNIX, reason="there is no fork")
def test_a_fork_waits_for_a_reading_that_is_under_way(root: Path) -> None:
    entered, done = threading.Event(), threading.Event()

    def changed() -> None:
        entered.set()
        threading.Event().wait(0.1)
        done.set()

    with watching(root, changed):
        assert entered.wait(LONGEST_S)
        child = os.fork()
        if child == 0:
            os._exit(int(not done.is_set()))
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not IS_UNIX, reason="there is no fork")
def test_a_fork_does_not_wait_for_a_reading_that_never_ends_and_one_from_the_callback_not_at_all(root: Path) -> None:
    leave, forked = threading.Event(), threading.Event()
    ends: list[int] = []

    def fork() -> None:
        child = os.fork()
        if child == 0:
            os._exit(0)
        ends.append(os.waitpid(child, 0)[1])

    def changed() -> None:
        fork()
        forked.set()
        leave.wait(LONGEST_S)

    with watching(root, changed) as watcher:
        assert forked.wait(LONGEST_S)
        start = time.monotonic()
        fork()
        assert 0.4 < time.monotonic() - start < LONGEST_S
        leave.set()
        (root / "app.yaml").write_text("2", encoding="utf-8")
        eventually(lambda: watcher.status.reads == 2 and len(ends) == 3)
    assert ends == [0, 0, 0]


@pytest.mark.skipif(not IS_UNIX, reason="there is no fork")
def test_a_forked_child_of_a_watcher_that_was_stopped_starts_nothing(root: Path) -> None:
    with watching(root, list) as watcher:
        pass
    child = os.fork()
    if child == 0:
        os._exit(int(watcher.status.running or bool(watch_threads())))
    assert os.waitpid(child, 0)[1] == 0


def test_importing_it_imports_no_watchdog_and_starts_no_thread() -> None:
    code = (
        "import sys, threading, loomwire.infrastructure.watching.watcher; "
        "sys.exit('watchdog' in sys.modules or threading.active_count() > 1)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
