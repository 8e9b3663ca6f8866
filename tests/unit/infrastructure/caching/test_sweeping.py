"""What is over goes by itself, now and then, on a thread that nobody notices."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from typing_extensions import override

from loomwire.domain.caching.policies import Level
from loomwire.domain.ports.caching.cache import ICacheStores, ICacheStrategy
from loomwire.infrastructure.caching.sweeping import CacheSweeper
from support.caches import SlowLevel

if TYPE_CHECKING:
    import pytest

EVERY_S = 0.005


class Stores(ICacheStores):
    """Has the levels it is given."""

    def __init__(self, *levels: SlowLevel) -> None:
        self.held: Sequence[SlowLevel] = levels

    @override
    def store(self, levels: tuple[Level, ...]) -> ICacheStrategy:
        return self.held[len(levels) - 1]

    @override
    def retain(self, levels: Iterable[Level]) -> None:
        self.held = ()

    @override
    def levels(self) -> Sequence[ICacheStrategy]:
        return self.held

    @override
    async def aclose(self) -> None:
        for level in self.held:
            await level.aclose()


def level() -> SlowLevel:
    return SlowLevel(1000, time.monotonic)


def until(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    waiting, end = threading.Event(), time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "it never happened"
        waiting.wait(0.002)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "loomwire-cache-sweep"]


def test_every_level_is_swept_again_and_again_until_it_is_stopped() -> None:
    first, second = level(), level()
    stores = Stores(first, second)
    sweeper = CacheSweeper(stores)
    assert threads() == []
    sweeper.every(EVERY_S)
    sweeper.every(EVERY_S)
    assert len(threads()) == 1
    until(lambda: min(len(first.calls), len(second.calls)) > 2)
    sweeper.stop()
    sweeper.stop()
    until(lambda: not threads())
    assert set(first.calls) == {"sweep"}


def test_never_is_no_thread() -> None:
    sweeper = CacheSweeper(Stores(level()))
    sweeper.every(0.0)
    assert threads() == []


def test_another_time_takes_the_place_of_the_one_before() -> None:
    slow = level()
    stores = Stores(slow)
    sweeper = CacheSweeper(stores)
    sweeper.every(3600.0)
    sweeper.every(EVERY_S)
    until(lambda: len(threads()) == 1)
    until(lambda: slow.calls)
    sweeper.stop()
    until(lambda: not threads())


def test_it_keeps_nobody_alive() -> None:
    stores = Stores(level())
    sweeper = CacheSweeper(stores)
    sweeper.every(EVERY_S)
    del stores
    gc.collect()
    until(lambda: not threads())


def test_a_level_that_fails_keeps_no_other_from_being_swept(caplog: pytest.LogCaptureFixture) -> None:
    failing, fine = level(), level()
    failing.failing = ValueError("secret words")
    stores = Stores(failing, fine)
    sweeper = CacheSweeper(stores)
    with caplog.at_level(logging.INFO, "loomwire.cache"):
        sweeper.every(EVERY_S)
        until(lambda: len(failing.calls) > 2)
        stores.held = (failing,)
        failing.failing = None
        until(lambda: len(caplog.records) > 1)
        sweeper.stop()
    assert fine.calls
    assert [record.getMessage() for record in caplog.records] == [
        "cache level SlowLevel cannot be swept (ValueError)",
        "cache level SlowLevel can be swept again",
    ]
    until(lambda: not threads())


def test_a_child_gets_a_thread_of_its_own() -> None:
    slow = level()
    stores = Stores(slow)
    sweeper = CacheSweeper(stores)
    sweeper.every(3600.0)
    (inherited,) = threads()
    sweeper.after_fork()
    until(lambda: threads() != [inherited])
    sweeper.stop()
    until(lambda: not threads())


async def test_the_loop_of_a_host_is_left_alone() -> None:
    slow = level()
    stores = Stores(slow)
    sweeper = CacheSweeper(stores)
    before = asyncio.all_tasks()
    sweeper.every(EVERY_S)
    await asyncio.to_thread(until, lambda: slow.calls)
    assert asyncio.all_tasks() == before
    sweeper.stop()
    await asyncio.to_thread(until, lambda: not threads())
