from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from loomwire.application.state.breaking.circuit import Circuit
from loomwire.application.state.breaking.permits import CircuitState, Permit, Refused
from loomwire.domain.policies import BreakerPolicy
from loomwire.testing import FakeClock

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN


class Bench:
    """A circuit with a clock that stands still and dice that always fall in the middle: 0.5 is no jitter."""

    def __init__(self, policy: BreakerPolicy | None = None, draw: float = 0.5) -> None:
        self.clock = FakeClock()
        self.circuit = Circuit("e/m", policy or BreakerPolicy(), lease_s=65, now=self.clock.now, draw=lambda: draw)

    def permit(self) -> Permit:
        permit = self.circuit.admit()
        assert isinstance(permit, Permit), permit
        return permit

    def refused(self) -> Refused:
        refused = self.circuit.admit()
        assert isinstance(refused, Refused)
        return refused

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            self.circuit.failed(self.permit(), "NET003")

    def succeed(self, times: int = 1, *, after: float = 0.0) -> None:
        for _ in range(times):
            permit = self.permit()
            self.clock.move(after)
            self.circuit.succeeded(permit)

    def half_open(self) -> None:
        """Open it, and let the time pass."""
        self.circuit.force_open()
        self.clock.move(self.circuit.wait_s() or 0)

    @property
    def state(self) -> CircuitState:
        return self.circuit.status().state

    @property
    def reason(self) -> str:
        return self.circuit.status().reason


def test_eight_failures_in_a_row_open_it() -> None:
    bench = Bench()
    bench.fail(7)
    assert bench.state is CLOSED
    bench.fail()
    status = bench.circuit.status()
    assert (status.state, status.reason, status.error, status.trips) == (OPEN, "consecutive", "NET003", 1)
    assert not bench.circuit.is_closed


def test_failures_that_overtake_calls_under_way_say_little_until_those_end() -> None:
    bench = Bench()
    under_way = [bench.permit() for _ in range(35)]
    bench.fail(15)  # the fast ones of 50 at once
    assert bench.state is CLOSED
    for permit in under_way:
        bench.circuit.succeeded(permit)
    assert (bench.state, bench.circuit.status().failures) == (CLOSED, 15)


def test_calls_that_hang_open_it_with_the_eighth_that_gives_up_however_many_are_under_way() -> None:
    bench = Bench()
    hanging = [bench.permit() for _ in range(500)]
    for permit in hanging[:8]:
        assert bench.state is CLOSED
        bench.circuit.failed(permit, "TIM004")
    assert (bench.state, bench.reason) == (OPEN, "consecutive")


def test_calls_that_hang_say_nothing_of_what_answered_others_that_began_far_later() -> None:
    bench = Bench()
    begun = [bench.permit() for _ in range(400)]
    hanging = begun[::20]
    for permit in begun:
        if permit not in hanging:
            bench.circuit.succeeded(permit)
    # All of them give up in one turn of the loop: they began within milliseconds, or the loop stood still meanwhile.
    for permit in hanging:
        bench.circuit.failed(permit, "TIM004")
    status = bench.circuit.status()
    assert (status.state, status.consecutive, status.failures) == (CLOSED, 1, 20)
    bench.fail(7)
    assert (bench.state, bench.reason) == (OPEN, "consecutive")


def test_an_outage_is_seen_though_the_calls_it_met_began_before_some_that_were_answered() -> None:
    bench = Bench()
    met = [bench.permit() for _ in range(64)]
    for permit in met[::2]:
        bench.circuit.succeeded(permit)
    failures = 0
    for permit in met[1::2]:
        if bench.state is CLOSED:
            bench.circuit.failed(permit, "TIM004")
            failures += 1
    assert (bench.state, failures) == (OPEN, 30)


def test_permits_that_were_lost_put_off_an_opening_by_a_hundred_failures_at_most() -> None:
    bench = Bench()
    lost = [bench.permit() for _ in range(5_000)]
    bench.fail(99)
    assert bench.state is CLOSED
    bench.fail()
    assert bench.state is OPEN
    assert len(lost) == 5_000


def test_a_child_knows_that_the_calls_under_way_were_its_parents() -> None:
    bench = Bench()
    bench.succeed(100)
    parents = [bench.permit() for _ in range(50)]
    bench.circuit.after_fork()
    bench.circuit.succeeded(parents[-1])
    bench.fail(8)
    assert (bench.state, len(parents)) == (OPEN, 50)


def test_an_answer_ends_a_row_of_failures_and_an_ignored_call_does_not() -> None:
    bench = Bench(BreakerPolicy(failure_rate=1.0))
    bench.fail(7)
    bench.succeed()
    bench.fail(7)
    bench.circuit.ignored(bench.permit())
    assert bench.state is CLOSED
    bench.fail()
    assert bench.reason == "consecutive"


def test_a_row_that_chance_brings_where_failures_are_common_does_not_open_it_and_a_longer_one_does() -> None:
    bench = Bench()
    for number in range(700):
        bench.fail() if number % 10 in (0, 3, 6) else bench.succeed()
    bench.fail(13)
    assert bench.state is CLOSED
    bench.fail()
    assert bench.reason == "consecutive"


def test_a_row_of_eight_opens_what_hardly_ever_failed_however_much_it_answered() -> None:
    bench = Bench()
    for number in range(700):
        bench.fail() if number % 10 == 0 else bench.succeed()
    bench.fail(7)
    assert bench.state is CLOSED
    bench.fail()
    assert bench.reason == "consecutive"


def test_nine_of_ten_calls_failing_open_it_but_not_nine_of_nine_below_the_least() -> None:
    bench = Bench(BreakerPolicy(consecutive=100))
    bench.fail(4)
    bench.succeed()
    bench.fail(4)
    assert bench.state is CLOSED
    bench.fail()
    assert bench.reason == "failure_rate"


def test_half_of_the_calls_failing_opens_it_once_that_is_no_chance() -> None:
    bench = Bench()
    turns = 0
    while bench.state is CLOSED:
        bench.succeed()
        bench.fail()
        turns += 1
    # Of what fails three times in ten, five of ten fail one time in seven, and forty of eighty never.
    assert (bench.reason, turns) == ("failure_rate", 40)


def test_three_failures_in_ten_never_open_it() -> None:
    bench = Bench()
    dice = random.Random(1)
    for _ in range(20_000):
        bench.fail() if dice.random() < 0.3 else bench.succeed()
        bench.clock.move(0.01)
    assert (bench.state, bench.circuit.status().trips) == (CLOSED, 0)


def test_a_rate_of_nothing_means_any_failure() -> None:
    bench = Bench(BreakerPolicy(failure_rate=0.0))
    bench.succeed(10)
    assert bench.state is CLOSED
    bench.fail()
    assert bench.reason == "failure_rate"


def test_an_answer_never_opens_it_though_it_fills_the_window() -> None:
    bench = Bench(BreakerPolicy(min_calls=8, consecutive=100))
    bench.fail(7)
    bench.succeed()
    assert bench.state is CLOSED
    bench.fail(2)
    assert bench.reason == "failure_rate"


def test_a_probe_that_fails_first_opens_it_and_one_that_fails_after_an_answer_does_not() -> None:
    bench = Bench()
    bench.half_open()
    bench.fail()
    assert (bench.state, bench.reason) == (OPEN, "probe_failed")
    bench.clock.move(bench.circuit.wait_s() or 0)
    bench.succeed()
    bench.fail(2)
    assert bench.state is CircuitState.HALF_OPEN
    bench.fail()
    assert (bench.state, bench.reason) == (OPEN, "probe_failed")
    bench.clock.move(bench.circuit.wait_s() or 0)
    bench.succeed(2)
    bench.fail(2)
    bench.succeed()
    assert bench.state is CLOSED


def test_what_left_the_window_does_not_count() -> None:
    bench = Bench(BreakerPolicy(consecutive=100))
    bench.fail(9)
    bench.clock.move(31)
    bench.fail(9)
    assert bench.state is CLOSED
    bench.fail()
    assert bench.reason == "failure_rate"


def test_slow_answers_open_it_and_fast_ones_do_not() -> None:
    bench = Bench(BreakerPolicy(slow_after_s=1.0))
    bench.succeed(9, after=1.0)
    bench.succeed(1, after=1.5)
    assert bench.state is CLOSED, "1.0 s is not more than 1.0 s"
    bench.clock.move(60)
    bench.succeed(10, after=1.5)
    assert bench.reason == "slow_rate"


def test_slow_failures_are_slow_too() -> None:
    bench = Bench(BreakerPolicy(slow_after_s=1.0, failure_rate=1.0, min_calls=5, slow_rate=0.6))
    bench.succeed(2)
    for _ in range(3):
        permit = bench.permit()
        bench.clock.move(2)
        bench.circuit.failed(permit)
    assert bench.reason == "slow_rate"


def test_a_stream_is_slow_by_its_first_token_and_not_by_its_length() -> None:
    bench = Bench(BreakerPolicy(slow_after_s=1.0, min_calls=1))
    permit = bench.permit()
    bench.clock.move(0.5)
    bench.circuit.began(permit)
    bench.clock.move(20)
    bench.circuit.succeeded(permit)
    assert (bench.state, bench.circuit.status().slow) == (CLOSED, 0)


def test_without_a_limit_nothing_is_slow() -> None:
    bench = Bench(BreakerPolicy(min_calls=1))
    bench.succeed(5, after=500)
    assert bench.circuit.status().slow == 0


def test_an_open_circuit_says_exactly_when_it_lets_a_call_through() -> None:
    bench = Bench()
    bench.fail(8)
    refused = bench.refused()
    assert (refused.name, refused.why, refused.retry_after_s) == ("e/m", "open", 5.0)
    bench.clock.move(4.75)
    assert bench.refused().retry_after_s == bench.circuit.wait_s() == bench.circuit.status().retry_after_s == 0.25
    bench.clock.move(0.25)
    assert (bench.state, bench.circuit.wait_s()) == (HALF_OPEN, 0.0)
    bench.permit()


def test_half_open_lets_three_through_and_closes_at_the_third_answer() -> None:
    bench = Bench()
    bench.half_open()
    probes = [bench.permit() for _ in range(3)]
    assert (bench.refused().why, bench.refused().retry_after_s) == ("half_open", None)
    assert (bench.circuit.wait_s(), bench.circuit.status().probes) == (None, 3)
    assert [bench.circuit.succeeded(probe) for probe in probes] == [None, None, CLOSED]
    assert (bench.state, bench.reason) == (CLOSED, "recovered")


def test_one_failure_of_a_probe_opens_it_again_for_twice_as_long() -> None:
    bench = Bench()
    waits = []
    for _ in range(7):
        bench.circuit.trip("models_open")
        waits.append(bench.circuit.wait_s())
        bench.clock.move(waits[-1] or 0)
        bench.fail()
        assert bench.reason == "probe_failed"
        bench.clock.move(bench.circuit.wait_s() or 0)
        bench.succeed(3)
    assert waits == [5.0, 20.0, 80.0, *[pytest.approx(108.0)] * 4], "at the cap the dice fall between 96 and 120"


@pytest.mark.parametrize(("draw", "wait"), [(0.0, 4.0), (1.0, 6.0)])
def test_the_time_it_is_open_is_jittered_by_a_fifth(draw: float, wait: float) -> None:
    bench = Bench(draw=draw)
    bench.fail(8)
    assert bench.circuit.wait_s() == wait


def test_it_is_never_open_for_longer_than_the_cap() -> None:
    bench = Bench(BreakerPolicy(open_s=110), draw=1.0)
    bench.fail(8)
    assert bench.circuit.wait_s() == 120


def test_a_flapping_target_waits_longer_and_a_whole_quiet_window_forgives_it() -> None:
    bench = Bench()
    bench.half_open()
    bench.succeed(3)
    bench.clock.move(29)
    bench.fail(8)
    assert bench.circuit.wait_s() == 10
    bench.clock.move(10)
    bench.succeed(3)
    assert bench.circuit.status().trips == 2
    bench.clock.move(30)
    assert bench.circuit.status().trips == 0
    bench.fail(8)
    assert bench.circuit.wait_s() == 5


def test_an_ignored_probe_gives_its_permit_back_and_changes_nothing() -> None:
    bench = Bench()
    bench.half_open()
    probes = [bench.permit() for _ in range(3)]
    bench.circuit.ignored(probes[0])
    bench.permit()
    assert bench.refused().why == "half_open"
    assert bench.state is HALF_OPEN


def test_a_lost_probe_heals_when_its_lease_ends_and_its_answer_is_worth_nothing_then() -> None:
    bench = Bench(BreakerPolicy(probes=1))
    bench.half_open()
    lost = bench.permit()
    bench.clock.move(65)
    assert bench.refused().why == "half_open"
    bench.clock.move(0.5)
    second = bench.permit()
    assert bench.circuit.succeeded(lost) is None
    assert bench.circuit.failed(second) is OPEN


def test_slow_probes_do_not_close_it() -> None:
    bench = Bench(BreakerPolicy(slow_after_s=1.0))
    bench.half_open()
    bench.succeed(3, after=2.0)
    assert (bench.state, bench.reason) == (OPEN, "slow_rate")


def test_probes_of_which_some_are_slow_close_it() -> None:
    bench = Bench(BreakerPolicy(slow_after_s=1.0))
    bench.half_open()
    bench.succeed(2, after=2.0)
    bench.succeed()
    assert bench.state is CLOSED


def test_late_answers_of_an_earlier_generation_change_nothing() -> None:
    bench = Bench()
    early = [bench.permit() for _ in range(28)]
    for permit in early[:8]:
        bench.circuit.failed(permit)
    before = bench.circuit.status()
    assert before.state is OPEN
    for permit in early[8:18]:
        assert bench.circuit.failed(permit) is None
    for permit in early[18:]:
        assert bench.circuit.succeeded(permit) is None
    assert bench.circuit.status() == before


def test_probes_of_an_earlier_half_open_time_still_take_room() -> None:
    bench = Bench()
    bench.half_open()
    hanging = [bench.permit(), bench.permit()]
    bench.fail()
    bench.clock.move(bench.circuit.wait_s() or 0)
    bench.permit()
    assert bench.refused().why == "half_open", "three are under way, two of them from before"
    assert bench.circuit.succeeded(hanging[0]) is None
    bench.permit()


def test_a_permit_is_given_back_once() -> None:
    bench = Bench(BreakerPolicy(consecutive=2))
    permit = bench.permit()
    bench.circuit.failed(permit)
    bench.circuit.failed(permit)
    bench.circuit.succeeded(permit)
    assert (bench.circuit.status().calls, bench.circuit.status().consecutive) == (1, 1)


def test_a_call_admitted_while_another_thread_closes_the_circuit_gets_a_plain_permit() -> None:
    meanwhile: list[Callable[[], None]] = []

    def now() -> float:
        while meanwhile:
            meanwhile.pop()()
        return 0.0

    circuit = Circuit("e/m", BreakerPolicy(), now=now)
    circuit.force_open()
    meanwhile.append(circuit.reset)
    permit = circuit.admit()
    assert isinstance(permit, Permit)
    assert not permit.leased


def test_force_open_opens_it_and_it_heals_by_itself() -> None:
    bench = Bench()
    bench.circuit.force_open()
    assert (bench.state, bench.reason, bench.refused().retry_after_s) == (OPEN, "forced", 5.0)
    bench.clock.move(5)
    bench.succeed(3)
    assert bench.state is CLOSED


def test_force_open_may_say_for_how_long() -> None:
    bench = Bench()
    for for_s in (300.0, 0.25):
        bench.circuit.force_open(for_s)
        assert bench.circuit.status().retry_after_s == for_s
    bench.circuit.force_open(300.0)
    bench.circuit.adapt(replace(bench.circuit.policy, min_calls=3))
    assert bench.circuit.status().retry_after_s == 300.0
    bench.clock.move(300)
    bench.succeed(3)
    assert bench.state is CLOSED


def test_isolate_refuses_everything_until_it_is_reset() -> None:
    bench = Bench()
    bench.circuit.isolate()
    bench.clock.move(1e6)
    assert (bench.refused().why, bench.refused().retry_after_s, bench.circuit.wait_s()) == ("isolated", None, None)
    assert bench.circuit.status().hold == "isolated"
    assert not bench.circuit.try_now()
    assert not bench.circuit.trip("models_open")
    assert not bench.circuit.recover("model_recovered")
    bench.circuit.reset()
    assert (bench.state, bench.reason) == (CLOSED, "reset")


def test_what_an_operator_decides_is_no_ones_error() -> None:
    for decide in (Circuit.force_open, Circuit.force_closed, Circuit.isolate, Circuit.reset):
        bench = Bench()
        bench.fail(8)
        decide(bench.circuit)
        assert bench.circuit.status().error == ""


def test_force_closed_keeps_it_closed_and_goes_on_counting() -> None:
    bench = Bench()
    bench.circuit.isolate()
    bench.circuit.force_closed()
    bench.fail(30)
    status = bench.circuit.status()
    assert (status.state, status.hold, status.failures, status.retry_after_s) == (CLOSED, "forced_closed", 30, 0.0)
    assert not bench.circuit.trip("models_open")
    bench.circuit.reset()
    bench.fail(8)
    assert bench.state is OPEN


def test_try_now_lets_one_call_a_second_through_an_open_circuit() -> None:
    bench = Bench()
    bench.fail(8)
    assert bench.circuit.try_now()
    assert not bench.circuit.try_now(), "one a second, however many ask"
    probe = bench.permit()
    assert bench.refused().why == "open"
    assert bench.circuit.failed(probe) is None
    assert (bench.circuit.status().trips, bench.circuit.wait_s()) == (1, 5.0), "its failure changes nothing"
    bench.clock.move(1)
    assert bench.circuit.try_now()
    assert bench.circuit.succeeded(bench.permit()) is None
    assert bench.state is HALF_OPEN, "its answer is the first of three"
    bench.succeed(2)
    assert bench.state is CLOSED
    assert bench.circuit.try_now(), "a closed one lets everybody through"


def test_a_call_that_was_let_through_but_never_came_lets_no_later_one_through() -> None:
    bench = Bench()
    bench.fail(8)
    assert bench.circuit.try_now()
    bench.clock.move(1)
    assert bench.refused().why == "open"


def test_try_now_never_has_more_calls_under_way_than_probes() -> None:
    bench = Bench(BreakerPolicy(open_s=120))
    bench.fail(8)
    for _ in range(3):
        assert bench.circuit.try_now()
        bench.permit()
        bench.clock.move(1)
    assert not bench.circuit.try_now()


def test_try_now_of_a_half_open_circuit_says_whether_there_is_a_probe_left() -> None:
    bench = Bench(BreakerPolicy(probes=1))
    bench.half_open()
    assert bench.circuit.try_now()
    bench.permit()
    assert not bench.circuit.try_now()


def test_trip_and_recover_do_what_something_else_says_once() -> None:
    bench = Bench()
    assert not bench.circuit.recover("model_recovered"), "it is closed"
    assert bench.circuit.trip("models_open")
    assert not bench.circuit.trip("models_open"), "it is open"
    assert bench.circuit.recover("model_recovered")
    assert (bench.state, bench.reason) == (CLOSED, "model_recovered")


def test_equal_numbers_change_nothing_and_others_keep_the_state_and_the_counts() -> None:
    bench = Bench()
    bench.fail(5)
    bench.circuit.adapt(BreakerPolicy())
    bench.circuit.adapt(BreakerPolicy(consecutive=6))
    assert bench.circuit.status().calls == 5
    bench.fail()
    assert bench.state is OPEN


def test_another_window_starts_its_counts_anew() -> None:
    bench = Bench()
    bench.fail(5)
    bench.circuit.adapt(BreakerPolicy(window_s=60))
    assert (bench.circuit.status().calls, bench.circuit.status().consecutive) == (0, 5)


def test_new_numbers_shorten_the_time_it_is_open_and_never_lengthen_it() -> None:
    bench = Bench(BreakerPolicy(open_s=100))
    bench.fail(8)
    bench.circuit.adapt(BreakerPolicy(open_s=115))
    assert bench.circuit.wait_s() == 100
    bench.circuit.adapt(BreakerPolicy(open_s=5))
    assert bench.circuit.wait_s() == 6, "the longest that 5 s and jitter allow"


def test_a_child_process_does_not_wait_for_the_probes_of_its_parent() -> None:
    bench = Bench(BreakerPolicy(probes=1))
    bench.half_open()
    bench.permit()
    bench.circuit.after_fork()
    bench.succeed()
    assert bench.state is CLOSED
