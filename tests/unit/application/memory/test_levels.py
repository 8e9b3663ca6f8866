from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.application.memory.levels import CALM, ORDER, SLACK, Pressure, is_below, next_pressure
from loomwire.domain.caching.policies import MemoryPolicy

POLICY = MemoryPolicy()
SHARES = st.floats(0, 2)


def after(*shares: float, policy: MemoryPolicy = POLICY, guessed: bool = False) -> list[Pressure]:
    """Return the levels after each of these looks."""
    level: Pressure = "normal"
    return [level := next_pressure(level, share, policy, guessed=guessed) for share in shares]


def test_levels_begin_at_their_shares_of_the_limit_and_several_at_once() -> None:
    assert after(0.699, 0.7, 0.8, 0.9, 1.5) == ["normal", "soft", "high", "critical", "critical"]
    assert after(0.95) == ["critical"]


def test_a_level_ends_ten_points_below_its_beginning() -> None:
    assert after(0.7, 0.61, 0.599) == ["soft", "soft", "normal"]
    assert after(0.9, 0.801, 0.79, 0.71, 0.69) == ["critical", "critical", "high", "high", "soft"]


def test_what_was_given_up_comes_back_one_level_a_look() -> None:
    assert after(1.0, 0.1, 0.1, 0.1, 0.1) == ["critical", "high", "soft", "normal", "normal"]


def test_a_guessed_limit_never_gets_beyond_caches_that_are_off() -> None:
    assert after(1.0, 3.0, 0.1, guessed=True) == ["high", "high", "soft"]


def test_levels_that_begin_near_nothing_end_too() -> None:
    tiny = MemoryPolicy(soft=0.05, high=0.06, critical=0.07)
    assert after(0.07, 0.0, 0.0, 0.0, policy=tiny) == ["critical", "high", "soft", "normal"]


@given(st.lists(SHARES, min_size=1, max_size=30), st.booleans())
def test_a_level_is_never_lower_than_the_share_says_and_falls_by_one_at_most(
    shares: list[float],
    guessed: bool,
) -> None:
    begins = (0.0, POLICY.soft, POLICY.high, POLICY.critical)
    was = 0
    for share, level in zip(shares, after(*shares, guessed=guessed), strict=True):
        place = ORDER.index(level)
        reached = sum(share >= begin for begin in begins[1:])
        assert place >= min(reached, 2 if guessed else 3)
        assert place >= was - 1
        if place < was:
            assert share < begins[was] - SLACK
        was = place


@pytest.mark.parametrize("level", ORDER)
def test_a_share_between_the_end_and_the_beginning_changes_nothing(level: Pressure) -> None:
    begins = dict(zip(ORDER, (0.05, POLICY.soft, POLICY.high, POLICY.critical), strict=True))
    assert next_pressure(level, begins[level] - 0.05, POLICY, guessed=False) == level


def test_a_process_that_rests_just_below_a_level_leaves_it_after_a_dozen_looks() -> None:
    assert next_pressure("critical", 0.85, POLICY, guessed=False, calm=CALM - 1) == "critical"
    assert next_pressure("critical", 0.85, POLICY, guessed=False, calm=CALM) == "high"
    assert next_pressure("critical", 0.9, POLICY, guessed=False, calm=CALM) == "critical"
    assert next_pressure("normal", 0.1, POLICY, guessed=False, calm=CALM) == "normal"


@pytest.mark.parametrize("level", ORDER[1:])
def test_less_than_the_beginning_of_a_level_is_below_it(level: Pressure) -> None:
    begins = dict(zip(ORDER, (0.0, POLICY.soft, POLICY.high, POLICY.critical), strict=True))
    assert is_below(level, begins[level] - 0.01, POLICY)
    assert not is_below(level, begins[level], POLICY)
