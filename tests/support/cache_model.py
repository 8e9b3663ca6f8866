"""A plain dict that says what a cache must return, played beside a real one and compared at every step.

Subclass `CacheMachine` for another cache: write `build`, and `pass_time` when it does not take its time from
`self.clock`. Whoever evicts overrides `certain`: then what is there must be right, but need not be there.
"""

from __future__ import annotations

import asyncio
import hashlib
from abc import abstractmethod
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from typing_extensions import override

from loomwire.domain.caching.entries import CacheKey
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.testing import FakeClock

T = TypeVar("T")

NAMESPACES = ("", "planner", "planner:")
KEYS = tuple(CacheKey(name, hashlib.sha256(word).digest()) for name in NAMESPACES for word in (b"1", b"2", b"3"))
VALUES = (b"", b"\x00", b"one", b"two", bytes(range(256)), b"large" * 100)
MOVES = (0.25, 1.0, 2.5, 7.0)

a_key = st.sampled_from(KEYS)
a_value = st.sampled_from(VALUES)


@dataclass(frozen=True)
class Kept:
    """What the dict holds of an entry."""

    value: bytes
    born: float
    ttl_s: float
    keep_s: float


class CacheMachine(RuleBasedStateMachine):
    """Plays sets, looks, purges and the passing of time.

    Attributes:
        certain: What was set is there until its time is over or somebody forgets it.
        exact: Ages are right to the millisecond.
        swept: What is over is swept, not dropped by somebody else.
    """

    certain: ClassVar[bool] = True
    exact: ClassVar[bool] = True
    swept: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock(start=1000.0)
        self.runner = asyncio.Runner()
        self.kept: dict[CacheKey, Kept] = {}
        self.looks = 0

    @abstractmethod
    def build(self) -> ICacheStrategy:
        """Return a fresh and empty cache, whose time is `self.clock`."""
        raise NotImplementedError

    def pass_time(self, seconds: float) -> None:
        """Let time pass for the cache, and for `self.clock`."""
        self.run(self.clock.advance(seconds))

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Run work on the machine's loop."""
        return self.runner.run(work)

    def is_over(self, key: CacheKey) -> bool:
        """Whether the dict says that an entry's time is over."""
        kept = self.kept[key]
        return self.clock.now() - kept.born >= kept.ttl_s + kept.keep_s

    @initialize()
    def begin(self) -> None:
        self.cache = self.build()

    @rule(key=a_key, value=a_value, ttl_s=st.integers(1, 5), keep_s=st.integers(0, 5))
    def set(self, key: CacheKey, value: bytes, ttl_s: int, keep_s: int) -> None:
        self.run(self.cache.set(key, value, ttl_s=float(ttl_s), keep_s=float(keep_s)))
        self.kept[key] = Kept(value, self.clock.now(), ttl_s, keep_s)

    @rule(key=a_key)
    def get(self, key: CacheKey) -> None:
        self.looks += 1
        entry = self.run(self.cache.get(key))
        if entry is None:
            if self.certain:
                assert key not in self.kept or self.is_over(key), "it is not there"
            self.kept.pop(key, None)
            return
        assert key in self.kept, "nothing is kept there"
        assert not self.is_over(key), "its time is over"
        kept = self.kept[key]
        assert entry.value == kept.value
        assert (round(entry.ttl_s, 3), round(entry.keep_s, 3)) == (kept.ttl_s, kept.keep_s)
        age = self.clock.now() - kept.born
        assert entry.age_s >= 0
        assert abs(entry.age_s - age) < (0.001 if self.exact else 1.0)
        if self.exact:
            assert entry.is_fresh == (age < kept.ttl_s)

    @rule(key=a_key)
    def invalidate(self, key: CacheKey) -> None:
        was_there = self.run(self.cache.invalidate(key))
        if self.certain or was_there:
            assert was_there == (key in self.kept and not self.is_over(key))
        self.kept.pop(key, None)

    @rule(namespace=st.sampled_from(NAMESPACES))
    def clear_namespace(self, namespace: str) -> None:
        self.run(self.cache.clear(namespace))
        self.kept = {key: kept for key, kept in self.kept.items() if key.namespace != namespace}

    @precondition(lambda self: len(self.kept) > len(KEYS) // 2)
    @rule()
    def clear(self) -> None:
        self.run(self.cache.clear())
        self.kept.clear()

    @rule(seconds=st.sampled_from(MOVES))
    def wait(self, seconds: float) -> None:
        self.pass_time(seconds)

    @rule()
    def sweep(self) -> None:
        dropped = self.run(self.cache.sweep())
        over = [key for key in self.kept if self.is_over(key)]
        if self.swept:
            assert dropped <= len(over) if self.certain else dropped >= 0
        for key in over:
            del self.kept[key]

    @rule(limit=st.integers(1, 5))
    def entries(self, limit: int) -> None:
        found = self.run(self.cache.entries("planner", limit))
        assert len(found) <= limit
        assert [facts.hits for facts in found] == sorted((facts.hits for facts in found), reverse=True)
        there = {key.digest.hex() for key in self.kept if key.namespace == "planner" and not self.is_over(key)}
        assert {facts.digest for facts in found} <= there
        if self.certain and self.exact:
            assert len(found) == min(limit, len(there))

    @invariant()
    def books_add_up(self) -> None:
        if not hasattr(self, "cache"):
            return
        statistics = self.cache.statistics()
        assert statistics.hits + statistics.misses == self.looks
        assert statistics.stale <= statistics.hits
        assert statistics.errors == 0
        if statistics.limit_bytes is not None and statistics.size_bytes is not None:
            assert statistics.size_bytes <= statistics.limit_bytes

    @override
    def teardown(self) -> None:
        """Close the cache; after that every look is a miss."""
        if hasattr(self, "cache"):
            self.run(self.cache.aclose())
            assert all(self.run(self.cache.get(key)) is None for key in KEYS)
        self.runner.close()
