"""What is told of entries and levels."""

from __future__ import annotations

from loomwire.domain.caching.entries import CacheEntry, CacheStatistics, EntryFacts


def test_an_entry_is_fresh_until_its_time_and_stale_from_then_on() -> None:
    assert (CacheEntry(b"", 4.9, 5.0).is_fresh, CacheEntry(b"", 4.9, 5.0).stale_s) == (True, 0.0)
    assert (CacheEntry(b"", 5.0, 5.0).is_fresh, CacheEntry(b"", 7.0, 5.0).stale_s) == (False, 2.0)


def test_a_level_that_nobody_asked_has_no_rate() -> None:
    assert CacheStatistics(level="memory").hit_rate is None
    said = CacheStatistics(level="memory", hits=3, misses=1, oldest_s=1.23456).to_dict()
    assert (said["hit_rate"], said["oldest_s"]) == (0.75, 1.235)
    assert CacheStatistics(level="disk").to_dict()["oldest_s"] is None


def test_facts_show_no_value() -> None:
    facts = EntryFacts("memory", "planner", "ab" * 32, 10, 1.0, -2.0, 3)
    assert facts.to_dict() == {
        "level": "memory",
        "namespace": "planner",
        "digest": "ab" * 32,
        "size_bytes": 10,
        "age_s": 1.0,
        "fresh_s": -2.0,
        "hits": 3,
    }
