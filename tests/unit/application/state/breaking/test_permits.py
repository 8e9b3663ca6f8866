from __future__ import annotations

import json

import pytest

from loomwire.application.state.breaking.permits import CircuitState, CircuitStatus, Refused


def test_a_status_becomes_json() -> None:
    status = CircuitStatus("e/m", CircuitState.OPEN, reason="consecutive", error="NET003", since_s=1.23456, trips=2)
    said = json.loads(json.dumps(status.to_dict()))
    assert (said["name"], said["state"], said["reason"], said["error"]) == ("e/m", "open", "consecutive", "NET003")
    assert (said["since_s"], said["retry_after_s"], said["trips"]) == (1.235, 0.0, 2)


def test_a_wait_that_nobody_knows_is_null() -> None:
    assert CircuitStatus("e", CircuitState.OPEN, retry_after_s=None).to_dict()["retry_after_s"] is None


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (Refused("e/m", "open", 2.0), "the circuit of e/m is open, nothing was sent"),
        (Refused("e/m", "half_open"), "its probes are under way"),
        (Refused("e/m", "isolated"), "is isolated until it is reset"),
    ],
)
def test_a_refusal_says_why(refused: Refused, words: str) -> None:
    assert words in refused.message
