from __future__ import annotations

import pytest

from loomwire.application.memory.gate import ALL_REFUSED, OPEN, PATIENT_REFUSED, UNSEEN, MemoryGate
from loomwire.domain.requests import Priority


@pytest.mark.parametrize(
    ("level", "refused"),
    [(OPEN, []), (PATIENT_REFUSED, ["cost"]), (ALL_REFUSED, ["balanced", "cost", "speed", "quality"])],
)
def test_the_gate_refuses_by_level_and_priority(level: int, refused: list[Priority]) -> None:
    gate = MemoryGate()
    gate.level = level
    every: tuple[Priority, ...] = ("balanced", "cost", "speed", "quality")
    assert [priority for priority in every if gate.refusal(priority) is not None] == refused


def test_a_refusal_says_when_to_come_again() -> None:
    gate = MemoryGate()
    gate.level = ALL_REFUSED
    error = gate.refusal("balanced")
    assert error is not None
    assert (error.reason, error.retry_after) == ("memory", 1.0)


def test_the_first_call_begins_what_an_armed_gate_was_given_and_no_other_does() -> None:
    gate, begun = MemoryGate(), list[int]()
    gate.arm(lambda: begun.append(1))
    assert (gate.level, begun) == (UNSEEN, [])
    assert [gate.refusal("cost"), gate.refusal("balanced")] == [None, None]
    assert (gate.level, begun) == (OPEN, [1])


def test_a_disarmed_gate_admits_every_call_and_begins_nothing() -> None:
    gate, begun = MemoryGate(), list[int]()
    gate.arm(lambda: begun.append(1))
    gate.disarm()
    assert gate.refusal("cost") is None
    gate.level = UNSEEN
    assert (gate.refusal("cost"), gate.level, begun) == (None, OPEN, [])


def test_what_is_no_call_begins_it_too_and_once() -> None:
    gate, begun = MemoryGate(), list[int]()
    gate.begin()
    gate.arm(lambda: begun.append(1))
    gate.begin()
    gate.begin()
    assert (gate.level, begun, gate.refusal("cost")) == (OPEN, [1], None)
