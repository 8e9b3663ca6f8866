from __future__ import annotations

import threading

import pytest

from loomwire.application.state.loads import IDLE_S, ILL, LONGEST_S, SMALLEST_SHARE, LoadKey, Loads, TargetLoad
from loomwire.domain.ports.selector import Load


def test_a_target_that_was_never_asked_has_no_latency() -> None:
    assert TargetLoad().reading(5.0, 30.0) == Load()


def test_calls_in_flight_are_counted_off_and_never_below_nothing() -> None:
    load = TargetLoad()
    load.began()
    load.began()
    load.left()
    assert load.reading(0.0, 30.0).in_flight == 1
    load.left()
    load.left()
    assert load.in_flight == 0


def test_a_slower_answer_counts_at_once_and_fades_over_faster_ones() -> None:
    load = TargetLoad()
    load.answered(0.1, 0.0)
    load.answered(2.0, 0.0)
    assert load.reading(0.0, 30.0).latency_s == 2.0
    load.answered(0.1, 10.0)
    assert load.reading(10.0, 30.0).latency_s == pytest.approx(0.1 + 1.9 / 2.718281828)


def test_a_slow_target_that_nobody_asks_is_looked_at_again() -> None:
    load = TargetLoad()
    load.answered(1.0, 0.0)
    assert load.reading(IDLE_S, 30.0).latency_s == pytest.approx(1 / 2.718281828)


def test_a_clock_read_too_late_by_a_hair_makes_nothing_grow() -> None:
    load = TargetLoad()
    load.answered(1.0, 5.0)
    load.failed(2.0, 5.0)
    assert load.reading(4.9, 30.0).latency_s == 2.0
    load.answered(0.5, 4.9)
    assert load.reading(5.0, 30.0).latency_s == 2.0


def test_a_failure_is_booked_as_a_timeout_or_twice_the_latency() -> None:
    fast, slow, endless = TargetLoad(), TargetLoad(), TargetLoad()
    fast.failed(60.0, 0.0)
    slow.answered(50.0, 0.0)
    slow.failed(60.0, 0.0)
    endless.failed(float("inf"), 0.0)
    booked = [load.reading(0.0, 30.0).latency_s for load in (fast, slow, endless)]
    assert booked == [60.0, 100.0, LONGEST_S]


def test_a_booked_failure_fades() -> None:
    load = TargetLoad()
    load.answered(0.1, 0.0)
    load.failed(600.0, 0.0)
    assert load.reading(100.0, 30.0).latency_s == pytest.approx(0.019, abs=0.01)


def test_what_was_ill_warms_up_when_it_answers_again() -> None:
    load = TargetLoad()
    for _ in range(ILL):
        load.failed(1.0, 0.0)
    assert load.reading(0.0, 30.0).failures == ILL
    load.answered(0.1, 100.0)
    shares = [load.reading(100.0 + passed, 30.0).share for passed in (0.0, 15.0, 30.0)]
    assert shares == [SMALLEST_SHARE, 0.5, 1.0]
    assert [load.reading(now, 0.0).share for now in (99.0, 100.0)] == [1.0, 1.0]


def test_a_single_failure_is_no_illness() -> None:
    load = TargetLoad()
    load.failed(1.0, 0.0)
    load.answered(0.1, 1.0)
    assert load.reading(1.0, 30.0).share == 1.0


def test_what_was_left_alone_warms_up_too() -> None:
    load = TargetLoad()
    load.rests()
    load.answered(0.1, 1.0)
    assert load.reading(1.0, 30.0).share == SMALLEST_SHARE


def test_a_name_has_one_load_for_ever_unless_nobody_names_it_any_more() -> None:
    loads = Loads()
    kept = loads.target("a", "k", "x")
    loads.target("b", "", "y").began()
    assert loads.target("a", "k", "x") is kept
    assert loads.readings(0.0)[LoadKey("b", "", "y")].in_flight == 1
    loads.retain({("a", "k", "x")})
    assert set(loads.readings(0.0)) == {LoadKey("a", "k", "x")}


def test_a_forked_child_has_none_of_its_parents_calls() -> None:
    loads = Loads()
    loads.target("a", "", "x").began()
    loads.after_fork()
    assert loads.target("a", "", "x").in_flight == 0


def test_threads_lose_no_call() -> None:
    load = TargetLoad()

    def work() -> None:
        for number in range(2000):
            load.began()
            load.answered(0.1, float(number))
            load.left()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert load.in_flight == 0
