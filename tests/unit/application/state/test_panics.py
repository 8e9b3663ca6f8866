from __future__ import annotations

from loomwire.application.state.panics import Gate, Panics


def test_a_gate_lets_so_many_through_in_a_second() -> None:
    gate = Gate()
    assert [gate.opens(now / 10, 2.0) for now in range(11)].count(True) == 3


def test_a_gate_for_none_lets_none_through() -> None:
    assert not Gate().opens(0.0, 0.0)


def test_a_client_has_one_gate_for_ever_also_in_a_child() -> None:
    panics = Panics()
    gate = panics.gate("planner")
    assert gate.opens(0.0, 1.0)
    panics.after_fork()
    assert panics.gate("planner") is gate
    assert not gate.opens(0.5, 1.0)


def test_gates_of_clients_that_are_gone_are_forgotten() -> None:
    panics = Panics()
    kept, gone = panics.gate("kept"), panics.gate("gone")
    panics.retain({"kept"})
    assert panics.gate("kept") is kept
    assert panics.gate("gone") is not gone
