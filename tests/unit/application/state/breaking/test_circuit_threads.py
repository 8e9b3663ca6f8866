"""The breaker's promises while many threads come at once."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from loomwire.application.state.breaking.circuit import Circuit
from loomwire.application.state.breaking.permits import CircuitState, Permit
from loomwire.domain.policies import BreakerPolicy
from loomwire.testing import FakeClock


def at_once(threads: int, work: Callable[[int], None]) -> None:
    """Run `work(number)` on so many threads, all of which start together."""
    gate = threading.Barrier(threads)

    def run(number: int) -> None:
        gate.wait()
        work(number)

    runners = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()


def half_open(clock: FakeClock) -> Circuit:
    """Return a circuit whose open time is over."""
    circuit = Circuit("e/m", BreakerPolicy(), now=clock.now)
    circuit.force_open()
    clock.move(circuit.wait_s() or 0)
    return circuit


def test_of_a_hundred_threads_at_a_half_open_circuit_three_get_through() -> None:
    for _ in range(10):
        circuit, through = half_open(FakeClock()), list[Permit]()

        def knock(_: int, circuit: Circuit = circuit, through: list[Permit] = through) -> None:
            permit = circuit.admit()
            if isinstance(permit, Permit):
                through.append(permit)

        at_once(100, knock)
        assert len(through) == 3
        assert circuit.status().probes == 3


def test_of_a_hundred_threads_never_more_than_three_are_inside_though_probes_come_and_go() -> None:
    circuit, inside, most, lock = half_open(FakeClock()), 0, 0, threading.Lock()

    def knock(number: int) -> None:
        nonlocal inside, most
        for _ in range(50):
            permit = circuit.admit()
            if not isinstance(permit, Permit):
                continue
            with lock:
                inside += 1
                most = max(most, inside)
            with lock:
                inside -= 1
            circuit.ignored(permit)

    at_once(100, knock)
    assert 1 <= most <= 3
    assert (circuit.status().state, circuit.status().probes) == (CircuitState.HALF_OPEN, 0)


def test_threads_lose_no_count() -> None:
    circuit = Circuit("e/m", BreakerPolicy(), now=FakeClock().now)
    circuit.force_closed()

    def call(number: int) -> None:
        for _ in range(500):
            permit = circuit.admit()
            assert isinstance(permit, Permit)
            circuit.failed(permit) if number % 2 else circuit.succeeded(permit)

    at_once(8, call)
    assert (circuit.status().calls, circuit.status().failures) == (4000, 2000)


def test_whatever_threads_do_at_once_no_permit_is_left_over_and_it_heals() -> None:
    clock = FakeClock()
    circuit = Circuit("e/m", BreakerPolicy(consecutive=3, open_s=0.01, open_max_s=0.02, probes=2), now=clock.now)

    def storm(number: int) -> None:
        dice = random.Random(number)
        for _ in range(400):
            clock.move(0.001)
            permit = circuit.admit()
            if isinstance(permit, Permit):
                dice.choice((circuit.succeeded, circuit.failed, circuit.failed, circuit.ignored))(permit)
            elif dice.random() < 0.05:
                dice.choice((circuit.try_now, circuit.force_open, circuit.reset, circuit.status))()

    at_once(8, storm)
    assert circuit.status().probes == 0
    clock.move(1)
    while not circuit.is_closed:
        permit = circuit.admit()
        assert isinstance(permit, Permit)
        circuit.succeeded(permit)
