"""What is known of caches outlives reloads, and what nobody has any more is forgotten."""

from __future__ import annotations

from loomwire.application.caching.states import CacheStates
from loomwire.domain.caching.policies import DiskLevel, MemoryLevel
from loomwire.infrastructure.caching.stores import CacheStores
from loomwire.infrastructure.vectors.table import SimilarityIndexes


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
