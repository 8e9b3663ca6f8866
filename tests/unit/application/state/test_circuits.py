from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from loomwire.application.state.breaking.circuit import Circuit
from loomwire.application.state.breaking.endpoint import Endpoint, TargetCircuit
from loomwire.application.state.breaking.permits import CircuitState, CircuitStatus, Permit, Refused
from loomwire.application.state.circuits import Circuits
from loomwire.domain.errors import UnknownNameError
from loomwire.domain.policies import BreakerPolicy
from loomwire.testing import FakeClock
from support.forking import is_true_in_child

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN
POLICY = BreakerPolicy(consecutive=2, probes=2)


class Bench:
    """An endpoint with three models, and dice that always fall in the middle."""

    def __init__(self, *models: str) -> None:
        self.clock = FakeClock()
        self.meanwhile: list[Callable[[], None]] = []
        self.circuits = Circuits(now=self.now, draw=lambda: 0.5)
        self.targets = [self.circuits.target("e", model, POLICY) for model in models or ("a", "b", "c")]

    def now(self) -> float:
        """Tell the time, and do what another thread does at that moment."""
        while self.meanwhile:
            self.meanwhile.pop()()
        return self.clock.now()

    def status(self, name: str) -> CircuitStatus:
        return next(status for status in self.circuits.statuses() if status.name == name)

    def state(self, name: str = "e") -> CircuitState:
        return self.status(name).state


def permit_of(target: TargetCircuit) -> Permit:
    permit = target.admit()
    assert isinstance(permit, Permit), permit
    return permit


def fail(target: TargetCircuit, times: int = 2) -> None:
    for _ in range(times):
        target.failed(permit_of(target), "NET003")


def succeed(target: TargetCircuit, times: int = 1) -> None:
    for _ in range(times):
        target.succeeded(permit_of(target))


def refusal(target: TargetCircuit) -> Refused:
    refused = target.admit()
    assert isinstance(refused, Refused), refused
    return refused


def test_the_same_target_has_the_same_circuit_for_ever() -> None:
    bench = Bench("a")
    fail(bench.targets[0])
    again = bench.circuits.target("e", "a", POLICY)
    assert refusal(again).retry_after_s == 5
    assert again.name == "e/a"


def test_a_reload_with_other_thresholds_adapts_the_circuit() -> None:
    bench = Bench("a", "b")
    fail(bench.targets[0], 1)
    bench.circuits.target("e", "a", BreakerPolicy(consecutive=5))
    fail(bench.targets[0], 3)
    assert bench.state("e/a") is CLOSED
    fail(bench.targets[0], 1)
    assert bench.state("e/a") is OPEN


def test_one_failing_model_leaves_its_endpoint_alone() -> None:
    bench = Bench()
    fail(bench.targets[0])
    assert (bench.state("e/a"), bench.state()) == (OPEN, CLOSED)
    succeed(bench.targets[1])


def test_two_failing_models_open_the_endpoint_for_all_of_them() -> None:
    bench = Bench()
    a, b, c = bench.targets
    fail(a)
    bench.clock.move(1)
    fail(b)
    assert (bench.state(), bench.status("e").reason) == (OPEN, "models_open")
    assert (refusal(c).name, refusal(c).why, refusal(c).retry_after_s) == ("e", "open", 5)
    assert (c.wait_s(), a.wait_s()) == (5, 4)


def test_an_endpoint_that_answered_between_two_failing_models_is_not_opened() -> None:
    bench = Bench()
    a, b, c = bench.targets
    fail(a)
    bench.clock.move(1)
    succeed(c)
    bench.clock.move(1)
    fail(b)
    assert bench.state() is CLOSED
    succeed(c)


def test_the_answer_of_a_probe_is_an_answer_of_the_endpoint_too() -> None:
    bench = Bench()
    a, b, _ = bench.targets
    fail(a)
    bench.clock.move(5)
    succeed(a)
    fail(b)
    assert (bench.state("e/a"), bench.state("e/b"), bench.state()) == (HALF_OPEN, OPEN, CLOSED)


def test_the_only_model_opens_its_endpoint_too() -> None:
    bench = Bench("a")
    fail(bench.targets[0])
    assert (bench.state("e/a"), bench.state()) == (OPEN, OPEN)
    bench.clock.move(5)
    succeed(bench.targets[0], 2)
    assert (bench.state("e/a"), bench.state(), bench.status("e").reason) == (CLOSED, CLOSED, "model_recovered")


def test_an_open_endpoint_is_probed_by_its_well_models_and_closes_after_their_answers() -> None:
    bench = Bench()
    a, b, c = bench.targets
    fail(a)
    fail(b)
    bench.clock.move(5)
    probes = [permit_of(c), permit_of(c)]
    assert refusal(c).why == "half_open"
    c.succeeded(probes[0])
    c.succeeded(probes[1])
    assert (bench.state(), bench.status("e").reason) == (CLOSED, "recovered")


def test_a_failing_probe_opens_the_endpoint_again() -> None:
    bench = Bench()
    a, b, c = bench.targets
    fail(a)
    fail(b)
    bench.clock.move(5)
    fail(c, 1)
    assert (bench.state(), bench.status("e").reason, c.wait_s()) == (OPEN, "probe_failed", 10)
    assert bench.status("e/c").consecutive == 1


def test_models_with_open_circuits_obey_their_own_and_do_not_keep_the_endpoint_open() -> None:
    bench = Bench()
    a, b, c = bench.targets
    fail(a)
    fail(b)
    bench.clock.move(5)
    fail(a, 1)
    assert bench.state() is HALF_OPEN, "what a's own circuit knew already is no news of the endpoint"
    succeed(b, 2)
    assert (bench.state("e/b"), bench.state()) == (CLOSED, CLOSED)
    succeed(c)


def test_an_ignored_call_gives_the_endpoints_permit_back_too() -> None:
    bench = Bench()
    a, b, c = bench.targets
    fail(a)
    fail(b)
    bench.clock.move(5)
    for _ in range(5):
        c.ignored(permit_of(c))
    assert (bench.state(), bench.status("e").probes) == (HALF_OPEN, 0)


def test_a_model_that_opens_while_it_probes_the_endpoint_gives_its_permit_back() -> None:
    bench = Bench()
    a, b, c = bench.targets
    fail(a)
    fail(b)
    bench.clock.move(5)
    bench.meanwhile.append(bench.circuits.find("e/c").isolate)
    assert refusal(c).why == "isolated"
    assert bench.status("e").probes == 0


def test_an_isolated_endpoint_refuses_open_models_too() -> None:
    bench = Bench()
    fail(bench.targets[0])
    bench.circuits.find("e").isolate()
    bench.clock.move(1000)
    assert {refusal(target).why for target in bench.targets} == {"isolated"}


def test_a_model_forced_closed_is_let_through_by_an_open_endpoint() -> None:
    bench = Bench()
    a, b, c = bench.targets
    fail(a)
    fail(b)
    bench.circuits.find("e/c").force_closed()
    succeed(c, 5)
    assert bench.state() is OPEN


def test_what_an_operator_opens_is_no_sign_against_the_endpoint() -> None:
    bench = Bench()
    bench.circuits.find("e/a").force_open()
    fail(bench.targets[1])
    assert bench.state() is CLOSED


def test_a_model_isolated_after_it_tripped_is_no_sign_either() -> None:
    bench = Bench()
    fail(bench.targets[0])
    bench.circuits.find("e/a").isolate()
    fail(bench.targets[1])
    assert bench.state() is CLOSED


def test_an_endpoint_whose_models_were_reset_meanwhile_stays_closed() -> None:
    endpoint = Endpoint(Circuit("e", POLICY))
    endpoint.add("a", Circuit("e/a", POLICY))
    endpoint.model_opened()
    assert endpoint.circuit.is_closed


def test_try_now_asks_the_circuit_that_stands_in_the_way() -> None:
    bench = Bench()
    a, b, c = bench.targets
    fail(a)
    fail(b)
    assert c.try_now()
    c.failed(permit_of(c), "NET003")
    assert refusal(c).name == "e"
    assert a.try_now()
    a.began(permit_of(a))
    bench.clock.move(0.75)
    assert not a.try_now(), "once a second"
    bench.clock.move(0.25)
    assert a.try_now()


def test_reset_of_a_target_lets_it_through_though_its_endpoint_was_open() -> None:
    bench = Bench()
    fail(bench.targets[0])
    fail(bench.targets[1])
    bench.circuits.reset("e/a")
    succeed(bench.targets[0])
    assert (bench.state(), bench.state("e/b")) == (CLOSED, OPEN)


def test_reset_of_an_endpoint_resets_its_models_and_no_other() -> None:
    bench = Bench()
    other = bench.circuits.target("f", "a", POLICY)
    for target in (*bench.targets, other):
        bench.circuits.find(target.name).isolate()
    bench.circuits.reset("e")
    assert [status.hold for status in bench.circuits.statuses()] == ["", "", "", "", "", "isolated"]
    bench.circuits.reset()
    assert {status.hold for status in bench.circuits.statuses()} == {""}


def test_statuses_are_sorted_endpoint_first() -> None:
    bench = Bench("b", "a")
    assert [status.name for status in bench.circuits.statuses()] == ["e", "e/a", "e/b"]


def test_a_name_without_a_circuit_is_told_with_those_that_have_one() -> None:
    with pytest.raises(UnknownNameError, match="There are: e, e/a"):
        Bench("a").circuits.reset("e/z")
    with pytest.raises(UnknownNameError, match="There are: none"):
        Circuits().find("e")


def test_what_no_configuration_names_is_forgotten() -> None:
    bench = Bench()
    bench.circuits.target("f", "a", POLICY)
    fail(bench.targets[0])
    bench.circuits.retain({("e", "a")})
    assert [status.name for status in bench.circuits.statuses()] == ["e", "e/a"]
    assert bench.state("e/a") is OPEN
    assert isinstance(bench.targets[1].admit(), Permit), "calls under way on a forgotten target go on"


def test_opening_and_closing_are_logged_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench("a", "b")
    slow = bench.circuits.target("s", "a", BreakerPolicy(slow_after_s=1, min_calls=1))
    with caplog.at_level(logging.INFO, "loomwire.breaker"):
        fail(bench.targets[0])
        fail(bench.targets[1])
        bench.clock.move(5)
        succeed(bench.targets[0], 2)
        permit = permit_of(slow)
        bench.clock.move(2)
        slow.succeeded(permit)
    assert [record.getMessage() for record in caplog.records] == [
        "circuit of e/a opened: NET003",
        "circuit of e/b opened: NET003",
        "circuit of e opened: 2 of its models fail",
        "circuit of e/a closed: it answers again",
        "circuit of s/a opened: too many slow answers",
        "circuit of s opened: 1 of its models fail",
    ]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_goes_on_with_locks_of_its_own() -> None:
    bench = Bench("a")
    fail(bench.targets[0])
    bench.clock.move(5)
    permit_of(bench.targets[0])
    in_child: list[bool] = []

    def fork_while_a_lock_is_held() -> None:
        in_child.append(is_true_in_child(lambda: bench.status("e/a").probes == 0))
        bench.circuits.after_fork()

    bench.meanwhile.append(fork_while_a_lock_is_held)
    bench.circuits.target("e", "new", POLICY)
    bench.meanwhile.append(fork_while_a_lock_is_held)
    bench.circuits.reset("e/a")
    assert in_child == [True, True]
