"""Listeners that block: the others are told, their own events wait, and somebody can see it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator

import pytest

from loomwire.application.reload.listeners import Listeners, Remove
from loomwire.application.reload.results import SlowListener
from loomwire.application.reload.telling import MOST_LEFT, MOST_WAITING, Teller

SLOW_S = 0.15
LONGEST_S = 5.0
Listener = Callable[[str], None]


class Blocking:
    """A listener that does not come back until it is let go."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.told: list[str] = []
        self.go = threading.Event()

    def __call__(self, word: str) -> None:
        self.told.append(word)
        if word in self.words:
            assert self.go.wait(LONGEST_S)


class Stage:
    """A teller and its listeners; whoever blocks is let go in the end."""

    def __init__(self) -> None:
        self.teller = Teller(SLOW_S)
        self.listeners: Listeners[Listener] = Listeners(self.teller)
        self.blocking: list[Blocking] = []

    def block(self, *words: str) -> tuple[Blocking, Remove]:
        """Add a listener that blocks at these words."""
        self.blocking.append(Blocking(*words))
        return self.blocking[-1], self.listeners.add(self.blocking[-1])

    def hear(self) -> list[str]:
        """Add a listener, and return what it is told."""
        told: list[str] = []
        self.listeners.add(told.append)
        return told

    def say(self, *words: str) -> None:
        """Tell everybody words, one after the other."""
        for word in words:
            self.put(word)
            self.teller.run()

    def put(self, word: str) -> None:
        """Hand in a word."""
        self.listeners.tell(lambda listener: listener(word))

    def slow(self) -> list[SlowListener]:
        """Return who is slow."""
        return list(self.teller.slow)

    def end(self) -> None:
        """Let everybody go, and wait for the threads."""
        for each in self.blocking:
            each.go.set()
        for thread in threads():
            thread.join(LONGEST_S)


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Return one that is ended."""
    stage = Stage()
    yield stage
    stage.end()
    assert threads() == []


def threads() -> list[threading.Thread]:
    """Return the threads of all tellers."""
    return [thread for thread in threading.enumerate() if thread.name == "loomwire-tell"]


def test_nobody_waits_longer_for_a_listener_that_blocks_and_nothing_is_lost(stage: Stage) -> None:
    first, (blocking, _), last = stage.hear(), stage.block("a"), stage.hear()
    stage.say("a", "b", "c")
    assert (first, last) == (["a", "b", "c"], ["a", "b", "c"])
    assert blocking.told == ["a"]
    stage.end()
    assert blocking.told == ["a", "b", "c"]
    stage.say("d")
    assert blocking.told[-1] == first[-1] == "d"


def test_one_that_blocks_can_be_seen_while_it_does_and_is_logged_once(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    (blocking, _), _ = stage.block("a", "c"), stage.hear()
    assert stage.slow() == []
    stage.say("a", "b")
    (slow,) = stage.slow()
    assert slow.running_s >= SLOW_S
    assert slow == SlowListener(f"{__name__}.Blocking", slow.running_s, waiting=1, dropped=0)
    assert slow.to_dict()["waiting"] == 1
    stage.end()
    assert stage.slow() == []
    blocking.go.clear()
    stage.say("c")
    assert len(stage.slow()) == 1
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"a listener of reloads has been running for more than {SLOW_S} s: {__name__}.Blocking"]


def test_too_many_events_for_one_that_blocks_are_dropped_from_the_oldest_on_and_counted(stage: Stage) -> None:
    (blocking, remove), other = stage.block("0"), stage.hear()
    words = [str(number) for number in range(MOST_WAITING + 4)]
    stage.say(*words)
    assert other == words
    assert [(slow.waiting, slow.dropped) for slow in stage.slow()] == [(MOST_WAITING, 3)]
    stage.end()
    assert blocking.told == ["0", *words[4:]]
    assert [(slow.running_s, slow.waiting, slow.dropped) for slow in stage.slow()] == [(0.0, 0, 3)]
    remove()
    assert stage.slow() == []


def test_one_that_was_removed_is_told_nothing_more(stage: Stage) -> None:
    blocking, remove = stage.block("a")
    told: list[str] = []
    forget: list[Remove] = []

    def forgetting(word: str) -> None:
        """Have another one removed before it is told what it should be told next."""
        for each in forget:
            each()

    stage.listeners.add(forgetting)
    forget.append(stage.listeners.add(told.append))
    stage.say("a", "b")
    remove()
    stage.end()
    assert (blocking.told, told) == (["a"], [])


def test_so_many_may_block_and_behind_one_more_everybody_waits(stage: Stage) -> None:
    for _ in range(MOST_LEFT + 1):
        stage.block("a")
    told = stage.hear()
    stage.say("a", "b")
    assert told == []
    assert len(stage.slow()) == MOST_LEFT + 1
    assert len(threads()) == MOST_LEFT + 1
    assert [slow.waiting for slow in stage.slow()][-1] == 1
    stage.end()
    assert told == ["a", "b"]
    assert all(each.told == ["a", "b"] for each in stage.blocking)


def test_what_is_handed_in_from_within_comes_after(stage: Stage) -> None:
    order: list[str] = []

    def first(word: str) -> None:
        if word == "a":
            stage.say("nested")
        order.append(f"first {word}")

    stage.listeners.add(first)
    stage.listeners.add(lambda word: order.append(f"second {word}"))
    stage.say("a")
    assert order == ["first a", "second a", "first nested", "second nested"]


def test_one_that_was_left_to_itself_may_hand_in_too(stage: Stage) -> None:
    gone = threading.Event()
    told: list[str] = []

    def late(word: str) -> None:
        told.append(word)
        if word == "a":
            assert gone.wait(LONGEST_S)
            stage.say("nested")

    stage.listeners.add(late)
    other = stage.hear()
    stage.say("a")
    assert (told, other) == (["a"], ["a"])
    gone.set()
    stage.end()
    assert (told, other) == (["a", "nested"], ["a", "nested"])


def test_a_listener_that_ends_its_thread_ends_no_telling(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    def leaving(word: str) -> None:
        raise SystemExit(word)

    stage.listeners.add(leaving)
    told = stage.hear()
    stage.say("a", "b")
    assert told == ["a", "b"]
    assert caplog.text.count("a listener of reloads failed: SystemExit") == 2


def test_without_threads_the_reloading_one_tells() -> None:
    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    teller = Teller(SLOW_S, refused)
    listeners: Listeners[Listener] = Listeners(teller)
    told: list[tuple[str, threading.Thread]] = []

    def listener(word: str) -> None:
        told.append((word, threading.current_thread()))
        if word == "a":
            listeners.tell(lambda each: each("nested"))
            teller.run()

    listeners.add(listener)
    listeners.tell(lambda each: each("a"))
    teller.run()
    assert told == [("a", threading.current_thread()), ("nested", threading.current_thread())]


def test_without_threads_one_that_was_left_to_itself_tells_what_it_handed_in(stage: Stage) -> None:
    threads_left = [None]
    told: list[str] = []

    def scarce(thread: threading.Thread) -> None:
        if not threads_left:
            raise RuntimeError("can't start new thread")
        threads_left.pop()
        thread.start()

    teller, go = Teller(SLOW_S, scarce), threading.Event()
    listeners: Listeners[Listener] = Listeners(teller)

    def say(word: str) -> None:
        listeners.tell(lambda listener: listener(word))
        teller.run()

    def late(word: str) -> None:
        told.append(word)
        if word == "a":
            assert go.wait(LONGEST_S)
            say("nested")

    listeners.add(late)
    say("a")
    say("b")
    assert told == ["a"]
    go.set()
    stage.end()
    assert told == ["a", "b", "nested"]


def test_a_child_goes_on_with_what_was_not_told(stage: Stage) -> None:
    blocking, _ = stage.block("a")
    stage.say("a", "b", "c")
    stage.put("d")
    # As in a child, where the thread that is left to the listener is not.
    stage.teller.after_fork()
    assert stage.slow() == []
    stage.teller.run()
    assert blocking.told == ["a", "b", "c", "d"]


def test_a_listener_is_called_by_its_qualified_name(stage: Stage) -> None:
    blocking = Blocking("a")
    stage.blocking.append(blocking)

    def named(word: str) -> None:
        blocking(word)

    class Host:
        def told(self, word: str) -> None:
            blocking(word)

    stage.listeners.add(named)
    stage.listeners.add(Host().told)
    stage.listeners.add(functools.partial(functools.partial(Host.told, Host())))
    stage.say("a")
    here = f"{__name__}.test_a_listener_is_called_by_its_qualified_name.<locals>"
    assert [slow.name for slow in stage.slow()] == [f"{here}.named", f"{here}.Host.told", f"{here}.Host.told"]
