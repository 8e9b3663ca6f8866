"""An outer level that is slow or broken is not felt, is left alone for a while, and tried again."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence

import pytest
from typing_extensions import override

from loomwire.domain.caching.entries import CacheEntry, CacheKey, CacheStatistics, EntryFacts
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.infrastructure.caching import shielded as shields
from loomwire.infrastructure.caching.shielded import Shielded
from support.chains import turns

FACTS = EntryFacts("odd", "planner", "00" * 32, 1, 0.0, 1.0, 1)


def key(word: str, namespace: str = "planner") -> CacheKey:
    return CacheKey(namespace, hashlib.sha256(word.encode()).digest())


async def at_once() -> None:
    """Take no time."""


async def for_ever() -> None:
    """Never answer."""
    await asyncio.Event().wait()


class Odd(ICacheStrategy):
    """A level that does what it is told: works, swallows failures, raises, or never answers."""

    def __init__(self) -> None:
        self.data: dict[CacheKey, bytes] = {}
        self.errors = 0
        self.looks = 0
        self.asked: list[object] = []
        self.waits: Callable[[], Awaitable[None]] = at_once
        self.raises: Exception | None = None
        self.is_down = False
        self.trouble = "it is raining"
        self.closed = False
        self.size = 1.0

    async def _works(self) -> bool:
        await self.waits()
        if self.raises is not None:
            raise self.raises
        self.errors += self.is_down
        return not self.is_down

    @override
    async def get(self, key: CacheKey) -> CacheEntry | None:
        self.looks += 1
        if not await self._works() or key not in self.data:
            return None
        return CacheEntry(self.data[key], 0.0, 9.0, "odd")

    @override
    async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
        if await self._works():
            self.data[key] = value

    @override
    async def invalidate(self, key: CacheKey) -> bool:
        self.asked.append(key)
        return await self._works() and self.data.pop(key, None) is not None

    @override
    async def clear(self, namespace: str | None = None) -> None:
        self.asked.append(namespace)
        if await self._works():
            self.data = {} if namespace is None else {k: v for k, v in self.data.items() if k.namespace != namespace}

    @override
    def statistics(self) -> CacheStatistics:
        return CacheStatistics(level="odd", errors=self.errors, misses=self.looks)

    @override
    async def entries(self, namespace: str | None = None, limit: int = 20) -> Sequence[EntryFacts]:
        return (FACTS,) if await self._works() else ()

    @override
    async def sweep(self) -> int:
        return 7

    @override
    def resize(self, share: float) -> None:
        self.size = share

    @override
    async def aclose(self) -> None:
        await self.waits()
        self.closed = True


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def odd() -> Odd:
    return Odd()


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def shielded(odd: Odd, hands: Hands) -> Shielded:
    return Shielded(odd, timeout_s=0.02, now=hands)


async def fails(shielded: Shielded, times: int = 3) -> None:
    for _ in range(times):
        assert await shielded.get(key("a")) is None


async def test_a_level_that_works_is_passed_through(shielded: Shielded, odd: Odd) -> None:
    await shielded.set(key("a"), b"1", ttl_s=9)
    entry = await shielded.get(key("a"))
    assert entry is not None
    assert (entry.value, entry.level) == (b"1", "odd")
    assert await shielded.entries() == (FACTS,)
    assert await shielded.invalidate(key("a")) is True
    assert await shielded.get(key("a")) is None
    assert await shielded.sweep() == 7
    shielded.resize(0.5)
    await shielded.aclose()
    assert (odd.size, odd.closed) == (0.5, True)
    assert (shielded.statistics().errors, shielded.statistics().resting_s) == (0, 0.0)


async def test_a_look_that_takes_too_long_is_a_miss_and_an_error(shielded: Shielded, odd: Odd) -> None:
    odd.waits = for_ever
    assert await shielded.get(key("a")) is None
    await shielded.set(key("a"), b"1", ttl_s=9)
    assert (shielded.statistics().misses, shielded.statistics().errors) == (2, 2)
    odd.waits = at_once
    await shielded.set(key("a"), b"1", ttl_s=9)
    assert await shielded.get(key("a")) is not None


async def test_the_time_can_be_changed(shielded: Shielded, odd: Odd) -> None:
    odd.data[key("a")] = b"1"
    odd.waits = lambda: asyncio.sleep(0.04)
    assert await shielded.get(key("a")) is None
    shielded.adapt(5)
    assert await shielded.get(key("a")) is not None


@pytest.mark.parametrize("how", ["swallows", "raises", "waits"])
async def test_after_three_failures_in_a_row_the_level_rests_twice_as_long_each_time(
    shielded: Shielded, odd: Odd, hands: Hands, how: str
) -> None:
    odd.is_down, odd.raises = how == "swallows", OSError("no") if how == "raises" else None
    odd.waits = for_ever if how == "waits" else at_once
    await fails(shielded)
    for rest_s in (1, 2, 4, 8, 16, 32, 60, 60):
        looks = odd.looks
        assert shielded.statistics().resting_s == rest_s
        hands.now += rest_s - 0.001
        await fails(shielded)
        await shielded.set(key("b"), b"1", ttl_s=9)
        assert odd.looks == looks, "it was asked while it rests"
        hands.now += 0.002
        await fails(shielded)
        assert odd.looks == looks + 1, "not exactly one look tried it"
    assert shielded.statistics().refused == 8


async def test_when_a_try_works_the_rest_is_over(shielded: Shielded, odd: Odd, hands: Hands) -> None:
    odd.is_down = True
    await fails(shielded)
    assert await shielded.sweep() == 0
    odd.is_down = False
    odd.data[key("a")] = b"1"
    assert await shielded.get(key("a")) is None
    hands.now += 1.5
    assert await shielded.get(key("a")) is not None
    assert shielded.statistics().resting_s == 0
    odd.is_down = True
    await fails(shielded, 2)
    assert shielded.statistics().resting_s == 0, "the count in a row did not begin anew"


async def test_a_miss_is_no_failure(shielded: Shielded, odd: Odd) -> None:
    for _ in range(9):
        odd.is_down = True
        await fails(shielded, 2)
        odd.is_down = False
        assert await shielded.get(key("nothing")) is None
    assert shielded.statistics().resting_s == 0


async def test_one_line_is_logged_when_it_begins_and_one_when_it_ends(
    shielded: Shielded, odd: Odd, hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    odd.is_down = True
    with caplog.at_level(logging.DEBUG, "loomwire.cache"):
        await fails(shielded, 50)
        hands.now += 1.5
        await fails(shielded, 50)
        assert caplog.messages == ["cache level odd failed 3 times in a row (it is raining): left alone"]
        odd.is_down = False
        hands.now += 2.5
        await fails(shielded, 5)
    assert caplog.messages[1:] == ["cache level odd works again after 4.0 s"]


async def test_the_reason_is_a_word_and_never_what_the_level_said(
    shielded: Shielded, odd: Odd, caplog: pytest.LogCaptureFixture
) -> None:
    odd.raises = ValueError("redis://:hunter2@host")
    await fails(shielded)
    assert caplog.messages == ["cache level odd failed 3 times in a row (ValueError): left alone"]


async def test_looks_that_failed_together_make_one_rest(shielded: Shielded, odd: Odd) -> None:
    odd.waits = for_ever
    await asyncio.gather(*(shielded.get(key(str(n))) for n in range(20)))
    assert shielded.statistics().resting_s == 1


async def test_late_looks_beside_answered_ones_are_our_own_fault(shielded: Shielded, odd: Odd) -> None:
    turns = iter([for_ever] * 20 + [at_once])
    odd.data[key("a")] = b"1"

    async def in_turn() -> None:
        await next(turns)()

    odd.waits = in_turn
    found = await asyncio.gather(*(shielded.get(key("a")) for _ in range(21)))
    assert [entry is None for entry in found] == [True] * 20 + [False]
    assert (shielded.statistics().errors, shielded.statistics().resting_s) == (20, 0)


async def test_who_is_cancelled_is_cancelled_and_the_next_one_may_try(
    shielded: Shielded, odd: Odd, hands: Hands
) -> None:
    odd.is_down = True
    await fails(shielded)
    odd.is_down, odd.waits = False, for_ever
    doings: tuple[Callable[[], Coroutine[object, object, object]], ...] = (
        lambda: shielded.get(key("a")),
        lambda: shielded.set(key("b"), b"1", ttl_s=1),
    )
    for doing in doings:
        hands.now += 1.5
        task = asyncio.create_task(doing())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    odd.waits = at_once
    odd.data[key("a")] = b"1"
    assert await shielded.get(key("a")) is not None


async def test_a_cancellation_in_the_moment_of_the_timeout_is_not_lost(shielded: Shielded, odd: Odd) -> None:
    async def interrupted() -> None:
        try:
            await for_ever()
        finally:
            # The host wants the task to end, in the very turn in which the look's own time ended it.
            task.cancel()

    odd.waits = interrupted
    task = asyncio.ensure_future(shielded.get(key("a")))
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_could_not_be_purged_is_purged_before_anything_is_got(
    shielded: Shielded, odd: Odd, hands: Hands
) -> None:
    odd.data = {key("a"): b"1", key("b", "other"): b"2", key("c", "other"): b"3"}
    odd.is_down = True
    await shielded.clear("planner")
    assert await shielded.invalidate(key("b", "other")) is False
    assert len(odd.data) == 3
    odd.is_down = False
    assert await shielded.get(key("a")) is None
    assert await shielded.get(key("b", "other")) is None
    assert await shielded.get(key("c", "other")) is not None
    assert list(odd.data) == [key("c", "other")]


async def test_nothing_is_got_while_a_purge_is_owed(shielded: Shielded, odd: Odd, hands: Hands) -> None:
    odd.data = {key("a"): b"1"}
    odd.is_down = True
    await shielded.clear()
    odd.is_down, odd.raises = False, OSError("clear does not work, and get would")
    assert await shielded.get(key("a")) is None
    await shielded.set(key("b"), b"2", ttl_s=9)
    odd.raises = None
    assert await shielded.entries() == (), "facts of what is purged are shown"
    assert await shielded.get(key("a")) is None
    assert odd.data == {}
    assert await shielded.entries() == (FACTS,)


async def test_a_purge_is_tried_also_while_the_level_rests(shielded: Shielded, odd: Odd) -> None:
    odd.data = {key("a"): b"1"}
    odd.is_down = True
    await fails(shielded)
    odd.is_down = False
    await shielded.clear("planner")
    assert odd.data == {}
    assert shielded.statistics().resting_s == 0, "it was seen to work"


async def test_a_purge_that_fails_while_it_rests_makes_the_rest_no_longer(shielded: Shielded, odd: Odd) -> None:
    odd.is_down = True
    await fails(shielded)
    await shielded.clear("planner")
    assert shielded.statistics().resting_s == 1


async def test_a_purge_that_was_cancelled_is_owed(shielded: Shielded, odd: Odd) -> None:
    odd.data = {key("a"): b"1"}
    odd.waits = for_ever
    task = asyncio.ensure_future(shielded.clear("planner"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    odd.waits = at_once
    assert await shielded.get(key("a")) is None


async def test_many_debts_are_paid_with_few_words(shielded: Shielded, odd: Odd) -> None:
    odd.is_down = True
    for number in range(40):
        await shielded.invalidate(key(str(number)))
    odd.is_down, odd.asked = False, []
    odd.data[key("new", "other")] = b"1"
    await shielded.clear("third")
    await shielded.get(key("a"))
    assert "planner" in odd.asked
    assert len(odd.asked) < 20
    odd.is_down = True
    for number in range(40):
        await shielded.clear(f"client {number}")
    odd.is_down, odd.asked = False, []
    await shielded.clear("third")
    assert await shielded.get(key("new", "other")) is None
    assert None in odd.asked


class Heavy(Odd):
    """A level that loads something slow before its first look."""

    def __init__(self) -> None:
        super().__init__()
        self.prepared = 0

    async def prepare(self) -> None:
        self.prepared += 1
        await asyncio.sleep(0.03)


async def test_what_is_loaded_once_takes_no_time_of_a_look(hands: Hands) -> None:
    asked: tuple[Callable[[Shielded], Coroutine[object, object, object]], ...] = (
        lambda shielded: shielded.get(key("a")),
        lambda shielded: shielded.set(key("a"), b"1", ttl_s=9),
    )
    for ask in asked:
        heavy = Heavy()
        shielded = Shielded(heavy, timeout_s=0.02, now=hands)
        await ask(shielded)
        await ask(shielded)
        assert (heavy.prepared, shielded.statistics().errors) == (1, 0)


class Silent(ICacheStrategy):
    """A level that fails and says nothing about it."""

    __slots__ = ()

    @override
    async def get(self, key: CacheKey) -> CacheEntry | None:
        raise ValueError

    @override
    async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
        raise ValueError

    @override
    async def invalidate(self, key: CacheKey) -> bool:
        raise ValueError

    @override
    async def clear(self, namespace: str | None = None) -> None:
        raise ValueError

    @override
    def statistics(self) -> CacheStatistics:
        return CacheStatistics(level="silent")

    @override
    async def entries(self, namespace: str | None = None, limit: int = 20) -> Sequence[EntryFacts]:
        raise ValueError


async def test_a_level_that_breaks_its_promise_raises_nothing_through(hands: Hands) -> None:
    shielded = Shielded(Silent(), timeout_s=1, now=hands)
    assert await shielded.get(key("a")) is None
    await shielded.set(key("a"), b"1", ttl_s=1)
    assert await shielded.invalidate(key("a")) is False
    await shielded.clear()
    assert await shielded.entries() == ()
    await shielded.aclose()
    assert shielded.statistics().errors == 5


def test_it_works_on_several_loops_and_threads(shielded: Shielded, odd: Odd) -> None:
    odd.data[key("a")] = b"1"
    wrong: list[object] = []

    async def look() -> None:
        for _ in range(100):
            wrong.extend([] if await shielded.get(key("a")) is not None else ["miss"])

    threads = [threading.Thread(target=lambda: asyncio.run(look())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    odd.waits = for_ever
    for _ in range(2):
        assert asyncio.run(shielded.get(key("a"))) is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_has_a_lock_of_its_own(shielded: Shielded, odd: Odd) -> None:
    odd.data[key("a")] = b"1"
    with shielded._lock:
        child = os.fork()
        if child == 0:
            worked = asyncio.run(shielded.get(key("nothing"))) is None
            os._exit(0 if worked else 1)
    assert os.waitpid(child, 0)[1] == 0
    shields._after_fork()
    assert asyncio.run(shielded.get(key("a"))) is not None


@pytest.mark.parametrize("how", ["fails", "rests", "is late", "is cancelled"])
async def test_what_is_there_is_not_returned_once_something_newer_could_not_be_set(
    shielded: Shielded, odd: Odd, hands: Hands, how: str
) -> None:
    await shielded.set(key("a"), b"old", ttl_s=9)
    await shielded.set(key("b"), b"old", ttl_s=9)
    odd.is_down = how in {"fails", "rests"}
    odd.waits = at_once if odd.is_down else for_ever
    if how == "rests":
        await fails(shielded)
    task = asyncio.create_task(shielded.set(key("a"), b"new", ttl_s=9))
    await asyncio.sleep(0)
    if how == "is cancelled":
        task.cancel()
    await asyncio.wait([task])
    odd.is_down, odd.waits = False, at_once
    hands.now += 5
    assert await shielded.get(key("a")) is None
    assert key("a") not in odd.data, "others still get it there"
    assert await shielded.get(key("b")) is not None
    await shielded.set(key("a"), b"newer", ttl_s=9)
    entry = await shielded.get(key("a"))
    assert entry is not None
    assert entry.value == b"newer"


async def test_when_too_much_could_not_be_set_to_remember_its_namespace_is_purged(
    shielded: Shielded, odd: Odd, hands: Hands
) -> None:
    await shielded.set(key("a"), b"old", ttl_s=9)
    odd.is_down = True
    await fails(shielded)
    for number in range(5000):
        await shielded.set(key(f"{number}"), b"new", ttl_s=9)
    odd.is_down = False
    hands.now += 5
    await shielded.get(key("a"))
    assert odd.asked == ["planner"]


async def test_what_is_owed_is_owed_still_when_it_is_late_while_others_are_answered(
    shielded: Shielded, odd: Odd
) -> None:
    await shielded.set(key("a"), b"old", ttl_s=9)
    odd.is_down = True
    await shielded.invalidate(key("a"))
    odd.is_down, odd.waits = False, for_ever
    paying = asyncio.create_task(shielded.get(key("a")))
    await turns()
    odd.waits = at_once
    await shielded.entries()
    assert await paying is None
    assert await shielded.get(key("a")) is None
    assert odd.data == {}
