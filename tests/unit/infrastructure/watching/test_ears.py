"""Listening through the real watchdog: what is passed on, what is not, and what follows a swapped directory."""

from __future__ import annotations

import errno
import logging
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typing_extensions import override
from watchdog.events import EVENT_TYPE_MODIFIED, FileSystemEvent, FileSystemEventHandler
from watchdog.observers.api import BaseObserver, EventDispatcher, EventEmitter, ObservedWatch

from loomwire.infrastructure.watching.ears import Ears
from loomwire.infrastructure.watching.settling import Hint
from loomwire.infrastructure.watching.survey import Place

LONGEST_S = 5.0
Heard = queue.SimpleQueue[tuple[Hint, str]]


class Observing(BaseObserver):
    """Listens to nothing, or refuses as it was told."""

    def __init__(self, refusal: Exception | None = None) -> None:
        super().__init__(EventEmitter)
        self.refusal = refusal
        self.asked: list[str] = []
        self.handlers: list[FileSystemEventHandler] = []

    @override
    def schedule(
        self,
        event_handler: FileSystemEventHandler,
        path: str | Path,
        *,
        recursive: bool = False,
        event_filter: list[type[FileSystemEvent]] | None = None,
        follow_symlink: bool = False,
    ) -> ObservedWatch:
        """Remember who asked."""
        self.asked.append(str(path))
        self.handlers.append(event_handler)
        if self.refusal is not None:
            raise self.refusal
        return ObservedWatch(path, recursive=recursive)


@pytest.fixture
def heard() -> Heard:
    """Return where hints arrive."""
    return queue.SimpleQueue()


@pytest.fixture
def ears(heard: Heard) -> Iterator[Ears]:
    """Give ears that are stopped in the end."""
    ears = Ears(lambda hint, path: heard.put((hint, path)))
    yield ears
    ears.stop()


def place(folder: Path, *names: str, listed: bool = False, contents: bool = True) -> dict[str, Place]:
    """Return a folder as a survey names it."""
    found = folder.stat()
    return {str(folder): Place((found.st_dev, found.st_ino), frozenset(names), listed, False, contents)}


def until(heard: Heard, hint: Hint, path: Path) -> list[tuple[Hint, str]]:
    """Return everything that was heard up to this hint."""
    got: list[tuple[Hint, str]] = []
    while not got or got[-1] != (hint, str(path)):
        got.append(heard.get(timeout=LONGEST_S))
    return got


def test_what_matters_is_heard_and_what_lies_beside_is_not(tmp_path: Path, heard: Heard, ears: Ears) -> None:
    path = tmp_path / "a.yaml"
    path.touch()
    assert ears.listen(place(tmp_path, "a.yaml", "b.yaml"))
    (tmp_path / "app.log").write_text("a line", encoding="utf-8")
    (tmp_path / "c.yaml").write_text("c: 1", encoding="utf-8")
    path.write_text("a: 1", encoding="utf-8")
    path.rename(tmp_path / "b.yaml")
    got = until(heard, Hint.REPLACED, tmp_path / "b.yaml")
    got += [(Hint.REPLACED, str(path))] if (Hint.REPLACED, str(path)) not in got else []
    assert {Hint.OPENED, Hint.MODIFIED, Hint.CLOSED, Hint.REPLACED} == {hint for hint, _ in got}
    assert {name for _, name in got} == {str(path), str(tmp_path / "b.yaml")}


def test_reading_is_heard_as_reading(tmp_path: Path, heard: Heard, ears: Ears) -> None:
    path = tmp_path / "a.yaml"
    path.touch()
    ears.listen(place(tmp_path, listed=True))
    path.read_bytes()
    assert [hint for hint, _ in until(heard, Hint.RELEASED, path)] == [Hint.OPENED, Hint.RELEASED]


def test_where_only_comings_and_goings_matter_writing_is_not_heard(tmp_path: Path, heard: Heard, ears: Ears) -> None:
    ears.listen(place(tmp_path, "conf", "root", contents=False))
    (tmp_path / "conf").write_text("busy", encoding="utf-8")
    (tmp_path / "root").mkdir()
    assert {hint for hint, _ in until(heard, Hint.REPLACED, tmp_path / "root")} == {Hint.REPLACED}


def test_listening_again_adds_nothing_and_takes_new_names(tmp_path: Path, heard: Heard, ears: Ears) -> None:
    assert ears.listen(place(tmp_path, "a.yaml"))
    assert not ears.listen(place(tmp_path, "b.yaml"))
    (tmp_path / "a.yaml").touch()
    (tmp_path / "b.yaml").touch()
    assert {name for _, name in until(heard, Hint.CLOSED, tmp_path / "b.yaml")} == {str(tmp_path / "b.yaml")}


def test_a_directory_made_anew_is_listened_to_anew(tmp_path: Path, heard: Heard, ears: Ears) -> None:
    folder = tmp_path / "conf"
    for _ in range(3):
        folder.mkdir()
        assert ears.listen(place(folder, listed=True))
        (folder / "a.yaml").touch()
        until(heard, Hint.CLOSED, folder / "a.yaml")
        (folder / "a.yaml").unlink()
        folder.rmdir()
        until(heard, Hint.REPLACED, folder)
    assert not ears.listen({})
    assert ears.places == 0


def test_a_directory_swapped_by_renaming_is_listened_to_anew(tmp_path: Path, heard: Heard, ears: Ears) -> None:
    folder, new = tmp_path / "conf", tmp_path / "new"
    folder.mkdir()
    new.mkdir()
    assert ears.listen(place(folder, listed=True))
    folder.rename(tmp_path / "old")
    new.rename(folder)
    assert ears.listen(place(folder, listed=True))
    (folder / "a.yaml").touch()
    until(heard, Hint.CLOSED, folder / "a.yaml")


def test_a_directory_that_is_gone_when_it_should_be_listened_to_is_left_out(tmp_path: Path, ears: Ears) -> None:
    (tmp_path / "conf").mkdir()
    places = place(tmp_path / "conf", listed=True)
    (tmp_path / "conf").rmdir()
    assert not ears.listen(places)
    assert (ears.places, ears.limit) == (0, None)


def test_stopping_twice_or_before_anything_was_listened_to_is_fine(ears: Ears) -> None:
    ears.stop()
    ears.stop()


class Closed(Observing):
    """Finds its descriptors closed by somebody else, once."""

    is_closed = True

    @override
    def on_thread_stop(self) -> None:
        if self.is_closed:
            self.is_closed = False
            raise OSError(errno.EBADF, "bad file descriptor")


def test_it_stops_although_somebody_closed_its_descriptors(tmp_path: Path) -> None:
    observer = Closed()
    ears = Ears(lambda _, __: None, lambda: observer)
    ears.listen(place(tmp_path, listed=True))
    ears.stop()
    assert not observer.is_closed
    assert logging.getLogger("watchdog.observers.inotify").filters == []
    observer.stop()
    observer.join()


@pytest.mark.parametrize(
    ("refusal", "why"),
    [
        (OSError(errno.ENOSPC, "inotify watch limit reached"), "inotify watch limit reached"),
        (OSError(errno.EMFILE, "inotify instance limit reached"), "inotify instance limit reached"),
        (RuntimeError("can't start new thread"), "no more threads"),
    ],
)
def test_when_there_are_no_more_watches_it_says_so_once_and_asks_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, refusal: Exception, why: str
) -> None:
    observer = Observing(refusal)
    ears = Ears(lambda _, __: None, lambda: observer)
    (tmp_path / "b").mkdir()
    places = {**place(tmp_path, listed=True), **place(tmp_path / "b", listed=True)}
    with caplog.at_level(logging.WARNING, logger="loomwire.watching"):
        assert not ears.listen(places)
        assert not ears.listen(places)
    ears.stop()
    assert len(observer.asked) == 1
    assert ears.limit == why
    assert [record.getMessage() for record in caplog.records] == [
        f"{why}: changes of the configuration are found by looking once a second"
    ]


def test_a_directory_it_may_not_listen_to_is_tried_again_later(tmp_path: Path) -> None:
    observer = Observing(OSError(errno.EPERM, "not permitted"))
    ears = Ears(lambda _, __: None, lambda: observer)
    assert not ears.listen(place(tmp_path, listed=True))
    observer.refusal = None
    assert ears.listen(place(tmp_path, listed=True))
    assert ears.limit is None
    # The observer knows no such watch, as when the directory took it along.
    assert not ears.listen({})
    assert ears.places == 0
    ears.stop()


def test_what_it_has_no_word_for_is_no_hint(tmp_path: Path, heard: Heard) -> None:
    observer = Observing()
    ears = Ears(lambda hint, path: heard.put((hint, path)), lambda: observer)
    ears.listen(place(tmp_path, listed=True))
    event = FileSystemEvent(str(tmp_path / "a.yaml"))
    for kind in ("attrib", EVENT_TYPE_MODIFIED):
        event.event_type = kind
        observer.handlers[0].on_any_event(event)
    assert heard.get_nowait() == (Hint.MODIFIED, str(tmp_path / "a.yaml"))
    assert heard.empty()
    ears.stop()


def test_watchdog_s_noise_about_directories_that_go_does_not_reach_the_log(
    tmp_path: Path, ears: Ears, caplog: pytest.LogCaptureFixture
) -> None:
    watchdog = logging.getLogger("watchdog.observers.inotify")
    noise = "InotifyEmitter.queue_events() called when the thread is inactive"
    ears.listen(place(tmp_path, listed=True))
    watchdog.error(noise)
    watchdog.error("something else")
    ears.stop()
    watchdog.error(noise)
    assert [record.getMessage() for record in caplog.records] == ["something else", noise]


def test_the_threads_that_listen_are_named_after_us(tmp_path: Path, ears: Ears) -> None:
    before = set(threading.enumerate())
    ears.listen(place(tmp_path, "a.yaml"))
    (tmp_path / "more").mkdir()
    ears.listen({**place(tmp_path, "a.yaml"), **place(tmp_path / "more", "b.yaml")})
    ours = [
        each
        for each in threading.enumerate()
        if each not in before and isinstance(each, EventDispatcher | EventEmitter)
    ]
    assert sorted(each.name for each in ours) == ["loomwire-hints", "loomwire-hints-in", "loomwire-hints-in"]
