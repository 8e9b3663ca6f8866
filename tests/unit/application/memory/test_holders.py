from __future__ import annotations

import gc
import logging
from typing import TYPE_CHECKING

from typing_extensions import override

from loomwire.application.memory.holders import CacheHolder, Holders
from loomwire.application.memory.report import Held
from loomwire.domain.ports.caching.cache import ICacheStrategy
from support.memory import MIB, Hoard, StagedLevel, StagedStores

if TYPE_CHECKING:
    import pytest


def test_caches_count_what_takes_memory_of_this_process() -> None:
    holder = CacheHolder(StagedStores(StagedLevel(20), StagedLevel(7), StagedLevel(99, kind="disk")))
    assert (holder.name, holder.held_bytes(), holder.given) == ("caches", 27 * MIB, 1.0)


def test_caches_shrink_to_a_share_of_their_size_and_get_it_back() -> None:
    level, disk = StagedLevel(60, 64), StagedLevel(kind="disk")
    holder = CacheHolder(StagedStores(level, disk))
    for share in (1.0, 0.5, 0.0, 0.0, 0.5, 1.0, 1.0):
        holder.allow(share)
    assert level.shares == [0.5, 0.0, 0.0, 0.5, 1.0]
    assert (level.held, disk.shares) == (0, [])


def test_caches_get_no_more_than_there_is_room_for_and_a_share_of_that() -> None:
    level = StagedLevel(0, 400)
    holder = CacheHolder(StagedStores(level))
    holder.fit(100 * MIB)
    for share in (1.0, 0.5, 0.0, 1.0):
        holder.allow(share)
    assert level.shares == [0.25, 0.125, 0.0, 0.25]
    holder.fit(None)
    holder.allow(1.0)
    assert level.shares[-1] == 1.0


def test_a_level_that_was_opened_later_is_bounded_with_the_next_look() -> None:
    stores = StagedStores(StagedLevel(0, 100))
    holder = CacheHolder(stores)
    holder.allow(0.5)
    late = StagedLevel(0, 100)
    stores.all.append(late)
    holder.allow(0.5)
    assert late.shares == [0.5]


def test_a_level_that_is_configured_larger_gets_the_same_room() -> None:
    level = StagedLevel(0, 200)
    holder = CacheHolder(StagedStores(level))
    holder.fit(100 * MIB)
    holder.allow(1.0)
    level.size = 400
    holder.allow(1.0)
    assert level.shares == [0.5, 0.25]


def test_holders_tell_what_they_hold_and_the_largest_comes_first() -> None:
    holders = Holders(StagedStores(StagedLevel(1)))
    hoard = Hoard(2 * MIB)
    holders.add(hoard)
    assert holders.held() == (Held("hoard", 2 * MIB, None), Held("caches", MIB, 1.0))
    assert holders.held()[0].to_dict() == {"name": "hoard", "held_bytes": 2 * MIB, "share": None}


def test_holders_are_known_until_they_are_removed_or_gone() -> None:
    holders = Holders(None)
    first, second = Hoard(1), Hoard(2)
    remove = holders.add(first)
    holders.add(second)
    holders.allow(0.5, 0)
    remove()
    remove()
    assert [held.held_bytes for held in holders.held()] == [2]
    del second
    gc.collect()
    assert holders.held() == ()
    holders.allow(0.0, 0)
    assert first.shares == [0.5]


def test_a_holder_that_fails_keeps_nobody_from_giving_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    holders = Holders(None)
    broken, sound = Hoard(), Hoard(5)
    broken.broken = True
    holders.add(broken)
    holders.add(sound)
    with caplog.at_level(logging.WARNING, "loomwire.memory"):
        for _ in range(3):
            holders.allow(0.5, None)
            assert [held.held_bytes for held in holders.held()] == [5]
    assert sound.shares == [0.5, 0.5, 0.5]
    assert [record.getMessage() for record in caplog.records] == [
        "Hoard does not say what memory it holds, or gives none back: ValueError"
    ]


def test_holders_that_come_and_go_are_asked_for_every_time() -> None:
    there: list[Hoard] = []
    holders = Holders(StagedStores(StagedLevel(1)), lambda: there)
    assert (len(holders.held()), holders.cached_bytes()) == (1, MIB)
    there.append(Hoard(3))
    holders.allow(0.5, None)
    assert (len(holders.held()), there[0].shares, holders.cached_bytes()) == (2, [0.5], MIB)


def test_without_caches_none_of_it_is_theirs() -> None:
    assert Holders(None).cached_bytes() == 0


def test_caches_that_do_not_say_what_they_hold_count_nothing() -> None:
    class Broken(StagedStores):
        @override
        def levels(self) -> list[ICacheStrategy]:
            raise ValueError

    assert Holders(Broken()).cached_bytes() == 0
