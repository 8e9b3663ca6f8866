"""What is known of caches outlives reloads, and what nobody has any more is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from typing_extensions import override

from loomwire.application.caching.states import CacheStates
from loomwire.domain.caching.entries import CacheKey
from loomwire.domain.caching.policies import DiskLevel, MemoryLevel
from loomwire.infrastructure.caching.stores import CacheStores
from loomwire.infrastructure.vectors.table import SimilarityIndexes
from support.chains import turns
from support.shelves import DictStore, OneStore


def states() -> CacheStates:
    """Return the states of nothing yet."""
    return CacheStates(CacheStores(), SimilarityIndexes())


def test_a_client_has_one_tally_for_ever() -> None:
    caches = states()
    caches.tally("planner").note("hits")
    caches.tally("planner").note("misses")
    assert caches.counts()["planner"].to_dict()["hit_rate"] == 0.5
    assert caches.tally("other").counts().hit_rate is None


def test_removed_clients_and_levels_are_forgotten() -> None:
    caches = states()
    levels = (MemoryLevel(), DiskLevel("cache.sqlite"))
    caches.stores.store(levels)
    caches.tally("planner")
    caches.tally("other")
    assert len(caches.stores.levels()) == 2
    caches.retain(["other"], levels[:1])
    assert list(caches.counts()) == ["other"]
    assert [level.statistics().level for level in caches.stores.levels()] == ["memory"]


def test_questions_are_remembered_once_somebody_compares_them() -> None:
    caches = states()
    assert caches.similar() == {}
    memories = caches.memories
    assert caches.memories is memories
    memories.memory("planner", "numpy", b"model", 5)
    memories.memory("other", "numpy", b"model", 5)
    caches.retain(["planner"], ())
    assert list(caches.similar()) == ["planner"]


def test_a_child_goes_on_counting() -> None:
    caches = states()
    caches.tally("planner").note("kept")
    caches.after_fork()
    caches.tally("planner").note("kept")
    assert caches.counts()["planner"].kept == 2


class Outer(DictStore):
    """Notes when it is cleared, after which level inside it; may wait for ever, like a server that hangs."""

    def __init__(self, inner: DictStore, *, hangs: bool = False) -> None:
        super().__init__()
        self.inner = inner
        self.hangs = hangs
        self.left_inside: list[int] = []

    @override
    async def clear(self, namespace: str | None = None) -> None:
        self.left_inside.append(len(self.inner.kept))
        if self.hangs:
            await asyncio.Event().wait()
        await super().clear(namespace)


class TwoStores(OneStore):
    """Opens two levels."""

    def __init__(self, inner: DictStore, outer: DictStore) -> None:
        super().__init__(inner)
        self.both = (inner, outer)

    @override
    def levels(self) -> Sequence[DictStore]:
        return self.both


async def test_a_purge_goes_from_the_outermost_level_inwards() -> None:
    outer = Outer(inner := DictStore())
    caches = CacheStates(TwoStores(inner, outer), SimilarityIndexes())
    for level in (inner, outer):
        await level.set(CacheKey("planner", bytes(32)), b"old", ttl_s=60)
    before = caches.purges.count("planner")
    await caches.purge("planner")
    assert (outer.left_inside, inner.kept, outer.kept) == ([1], {}, {})
    assert caches.purges.count("planner") != before


async def test_a_purge_that_is_cancelled_forgets_what_is_on_the_levels_that_answer() -> None:
    outer = Outer(inner := DictStore(), hangs=True)
    caches = CacheStates(TwoStores(inner, outer), SimilarityIndexes())
    await inner.set(CacheKey("planner", bytes(32)), b"old", ttl_s=60)
    task = asyncio.create_task(caches.purge())
    await turns()
    task.cancel()
    await asyncio.wait([task])
    assert (task.cancelled(), inner.kept) == (True, {})
