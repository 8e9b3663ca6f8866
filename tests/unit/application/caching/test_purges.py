"""A count of purges tells, for ever, what was asked for before one."""

from __future__ import annotations

from loomwire.application.caching.purges import Purges


def test_a_purge_of_a_namespace_changes_its_count_and_no_other() -> None:
    purges = Purges()
    one, other = purges.count("one"), purges.count("other")
    purges.note("one")
    assert (purges.count("one") != one, purges.count("other")) == (True, other)


def test_a_purge_of_everything_changes_every_count() -> None:
    purges = Purges()
    purges.note("one")
    one, other = purges.count("one"), purges.count("other")
    purges.note(None)
    assert purges.count("one") != one
    assert purges.count("other") != other


def test_no_count_comes_back_however_many_namespaces_are_purged() -> None:
    purges = Purges()
    seen = {purges.count("one")}
    for turn in range(3000):
        purges.note("one")
        purges.note(f"session {turn}")
        assert purges.count("one") not in seen
        seen.add(purges.count("one"))


def test_a_child_goes_on_with_the_counts_of_its_parent() -> None:
    purges = Purges()
    purges.note("one")
    before = purges.count("one")
    purges.after_fork()
    assert purges.count("one") == before
