from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.application.state.pacing.meter import CELL_S, PERIOD_S, Cell, Meter

LIMITS = st.integers(1, 400)
BURSTS = st.sampled_from([0.0, 0.5, 1.0, 10.0, 60.0, 600.0])
GAPS = st.one_of(
    st.just(0.0), st.floats(0, 2), st.floats(0, 90), st.sampled_from([CELL_S, PERIOD_S, PERIOD_S + CELL_S])
)
COSTS = st.one_of(st.integers(0, 5), st.integers(0, 500))


def fullest_window(charges: list[tuple[float, int]], period_s: float = PERIOD_S) -> int:
    """Return the most that was charged in any window of this length, both ends included."""
    times = [at for at, _ in charges]
    sums = [0, *accumulate(cost for _, cost in charges)]
    return max((sums[bisect_right(times, at + period_s)] - sums[i] for i, at in enumerate(times)), default=0)


@given(LIMITS, BURSTS, st.lists(st.tuples(GAPS, COSTS), max_size=80))
def test_no_minute_ever_holds_more_than_the_limit_and_no_moment_more_than_the_burst(
    limit: int, burst_s: float, wanted: list[tuple[float, int]]
) -> None:
    now, charges = 1000.0, list[tuple[float, int]]()
    meter = Meter(limit, burst_s, now)
    for gap, cost in wanted:
        now += gap
        if meter.fits(cost, now):
            meter.charge(min(cost, limit), now)
            charges.append((now, min(cost, limit)))
    assert fullest_window(charges) <= limit
    largest = max((cost for _, cost in charges), default=0)
    for window_s in (0.0, 1.0, 7.0, 30.0):
        assert fullest_window(charges, window_s) <= max(meter.burst, largest) + meter.rate * window_s + 1e-3


@given(LIMITS, BURSTS, st.lists(st.tuples(GAPS, COSTS, st.floats(0, 1), st.integers(0, 5)), max_size=60))
def test_no_minute_holds_more_than_the_limit_of_what_was_used_in_the_end(
    limit: int, burst_s: float, wanted: list[tuple[float, int, float, int]]
) -> None:
    now, meter = 0.0, Meter(limit, burst_s, 0.0)
    out: list[tuple[float, int, Cell]] = []
    used: list[tuple[float, int]] = []
    for gap, cost, share, settled in wanted:
        now += gap
        if meter.fits(cost, now):
            out.append((now, min(cost, limit), meter.charge(min(cost, limit), now)))
        for at, charged, cell in out[:settled]:
            kept = int(charged * share)
            meter.refund(charged - kept, cell)
            used.append((at, kept))
        del out[:settled]
        assert 0 <= meter.used(now) <= limit
    assert fullest_window(sorted([*used, *((at, charged) for at, charged, _ in out)])) <= limit


@given(LIMITS, BURSTS, st.lists(st.tuples(GAPS, COSTS), max_size=40), COSTS, st.integers(0, 300))
def test_what_is_ready_fits_then_and_not_before(
    limit: int, burst_s: float, wanted: list[tuple[float, int]], cost: int, heard: int
) -> None:
    now, meter = 0.0, Meter(limit, burst_s, 0.0)
    for gap, spent in wanted:
        now += gap
        if meter.fits(spent, now):
            meter.charge(min(spent, limit), now)
    if heard < 200:
        meter.hear(heard, 30.0, now)
    ready = meter.ready_at(cost, 0, now)
    assert ready - now <= PERIOD_S + CELL_S + (max(cost, 1) + meter.burst) / meter.rate
    early = ready - 1e-3 - 2e-6 / meter.rate
    if early > now:
        assert not meter.fits(cost, early)
    assert meter.fits(cost, ready)


def drained(limit: int = 60, burst_s: float = 1.0) -> Meter:
    """Return a meter that was used as fast as it allows for a minute."""
    meter = Meter(limit, burst_s, 0.0)
    now = 0.0
    while now < PERIOD_S:
        meter.charge(1, now)
        now = meter.ready_at(1, 0, now)
    return meter


def test_a_slow_limit_is_used_in_full() -> None:
    meter, now, sent = Meter(6, 1.0, 0.0), 0.0, 0
    while now < 600.0:
        meter.charge(1, now)
        sent += 1
        now = meter.ready_at(1, 0, now)
    assert 59 <= sent <= 60


@pytest.mark.parametrize(
    ("limit", "burst_s", "burst"), [(600, 1, 10), (600, 10, 100), (600, 99, 600), (10, 1, 1), (600, 0, 1)]
)
def test_the_burst_is_so_many_seconds_worth_but_one_at_least_and_never_above_the_limit(
    limit: int, burst_s: float, burst: int
) -> None:
    meter = Meter(limit, burst_s, 0.0)
    for _ in range(burst):
        assert meter.fits(1, 0.0)
        meter.charge(1, 0.0)
    assert not meter.fits(1, 0.0)


def test_what_is_larger_than_the_burst_passes_a_full_bucket_and_is_paid_off_afterwards() -> None:
    meter = Meter(600, 1.0, 0.0)
    assert meter.fits(80, 0.0)
    meter.charge(80, 0.0)
    assert meter.ready_at(10, 0, 0.0) == pytest.approx(8.0)


def test_what_is_larger_than_the_limit_waits_for_an_empty_minute_and_not_for_ever() -> None:
    meter = Meter(100, 60.0, 0.0)
    meter.charge(1, 0.0)
    assert PERIOD_S <= meter.ready_at(5000, 0, 0.0) <= PERIOD_S + CELL_S


def test_what_stands_ahead_is_waited_for_beyond_the_minute_too() -> None:
    meter = Meter(60, 1.0, 0.0)
    assert meter.ready_at(1, 300, 0.0) == pytest.approx(300.0, abs=2)
    assert Meter(60, 60.0, 0.0).ready_at(1, 300, 0.0) == pytest.approx(241.0, abs=2)


def test_a_refund_makes_room_at_once() -> None:
    meter = Meter(60, 60.0, 0.0)
    cell = meter.charge(60, 0.0)
    assert not meter.fits(50, 0.0)
    meter.refund(50, cell)
    assert meter.fits(50, 0.0)
    assert not meter.fits(51, 0.0)


def test_a_refund_after_the_minute_makes_nobody_rich() -> None:
    meter = Meter(60, 60.0, 0.0)
    cell = meter.charge(60, 0.0)
    assert meter.used(61.0) == 0
    meter.refund(60, cell)
    assert meter.used(61.0) == 0
    meter.charge(60, 61.0)
    assert not meter.fits(1, 61.0)


def test_a_provider_lowers_what_is_left_and_gives_it_back_piece_by_piece() -> None:
    meter = Meter(600, 60.0, 0.0)
    meter.hear(0, 16.0, 0.0)
    assert (meter.used(0.0), meter.fits(1, 0.0)) == (600, False)
    assert meter.used(2.0) == 525
    assert meter.fits(20, 2.0)
    assert not meter.fits(21, 2.0)
    assert meter.used(16.0) == 0


def test_a_provider_never_raises_what_is_left() -> None:
    meter = drained()
    before = meter.used(59.0), meter.ready_at(1, 0, 59.0)
    meter.hear(1_000_000, 1.0, 59.0)
    assert (meter.used(59.0), meter.ready_at(1, 0, 59.0)) == before


def test_a_provider_never_fills_the_bucket() -> None:
    meter = Meter(600, 10.0, 0.0)
    meter.charge(100, 0.0)
    meter.hear(500, 1.0, 0.0)
    assert not meter.fits(1, 0.0)


def test_the_newest_word_of_a_provider_replaces_the_one_before() -> None:
    meter = Meter(600, 60.0, 0.0)
    meter.charge(100, 0.0)
    meter.hear(50, None, 0.0)
    assert meter.used(0.0) == 550
    meter.hear(200, None, 0.0)
    assert meter.used(0.0) == 400
    meter.hear(550, None, 0.0)
    assert meter.used(0.0) == 100


@pytest.mark.parametrize("reset_s", [None, 1e308, 86_400.0])
def test_no_word_of_a_provider_counts_for_longer_than_a_minute(reset_s: float | None) -> None:
    meter = Meter(600, 60.0, 0.0)
    meter.hear(0, reset_s, 0.0)
    assert meter.used(59.9) > 0
    assert meter.used(60.0) == 0


def test_a_reset_in_the_past_empties_only_the_bucket() -> None:
    meter = Meter(600, 1.0, 0.0)
    meter.hear(0, -5.0, 0.0)
    assert (meter.used(0.0), meter.fits(1, 0.0), meter.fits(1, 0.1)) == (0, False, True)


def test_other_numbers_keep_what_was_used() -> None:
    meter = drained()
    meter.adapt(30, 1.0, 60.0)
    assert not meter.fits(1, 60.0)
    meter.adapt(6000, 1.0, 60.0)
    assert meter.fits(1, 60.1)
    assert meter.used(60.1) >= 59
