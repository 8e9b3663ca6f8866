from __future__ import annotations

from loomwire.application.caching.values.purging import UnderWay
from loomwire.domain.caching.entries import CacheKey

ONE, OTHER = CacheKey("space", bytes(32)), CacheKey("other", bytes(32))


def test_callers_of_one_key_share_a_fetch_until_it_is_purged() -> None:
    under_way = UnderWay()
    with under_way.caller(ONE) as first, under_way.caller(ONE) as second, under_way.caller(OTHER) as other:
        assert first is second
        assert first is not other
        under_way.purged(ONE)
        assert (first.is_void, other.is_void) == (True, False)
        with under_way.caller(ONE) as third:
            assert third is not first
            assert not third.is_void
    with under_way.caller(ONE) as fourth:
        assert not fourth.is_void


def test_a_fetch_that_ends_late_does_not_forget_the_newer_one() -> None:
    under_way = UnderWay()
    old = under_way.caller(ONE)
    with old:
        under_way.purged(ONE)
        new = under_way.caller(ONE)
        fetch = new.__enter__()
    under_way.purged(ONE)
    assert fetch.is_void
    new.__exit__(None, None, None)


def test_a_child_knows_of_no_fetch_of_its_parent() -> None:
    under_way = UnderWay()
    with under_way.caller(ONE) as fetch:
        under_way.after_fork()
        under_way.purged(ONE)
        assert not fetch.is_void
