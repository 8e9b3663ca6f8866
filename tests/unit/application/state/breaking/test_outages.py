"""What a circuit makes of outages and of healthy targets, when calls take their time and some hang: simulated."""

from __future__ import annotations

import pytest

from support.outages import Load, play


@pytest.mark.parametrize(("places", "takes_s", "limit_s"), [(2, 1, 3), (8, 1, 3), (16, 1, 3), (64, 1, 3), (8, 5, 60)])
@pytest.mark.parametrize("seed", range(4))
def test_an_outage_in_which_calls_hang_is_noticed_by_the_first_that_give_up(
    places: int, takes_s: float, limit_s: float, seed: int
) -> None:
    load = Load(places=places, takes_s=takes_s, limit_s=limit_s, outage_s=100, lasts_s=1000)
    # Eight failures of two callers take four limits, and of eight or more callers one, or another half where one of
    # the eight was overtaken by far.
    limits = -(-8 // places)
    opened = play(load, seed).opened_s
    assert opened[0] >= load.outage_s
    assert opened[0] - load.outage_s <= 1.5 * limits * limit_s + 2 * takes_s


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("stands_s", [0.0, 0.9, 2.8])
def test_a_target_that_answers_95_of_100_calls_is_never_left_alone_though_the_process_stands_still(
    stands_s: float, seed: int
) -> None:
    load = Load(places=64, takes_s=0.02, limit_s=3, hangs=0.05, stands_s=stands_s, lasts_s=20)
    assert play(load, seed).opened_s == []
