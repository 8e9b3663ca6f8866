from __future__ import annotations

import json

import pytest

from loomwire.application.state.counts import CallCounts


def test_the_success_rate_is_over_answered_and_failed_calls() -> None:
    assert CallCounts(answered=3, failed=1, cancelled=9, abandoned=9).success_rate == pytest.approx(0.75)


def test_counts_become_json() -> None:
    counts = CallCounts(answered=1, latency_s=0.12345678, errors={"RAT001": 1})
    said = json.loads(json.dumps(counts.to_dict()))
    assert (said["latency_s"], said["success_rate"], said["errors"]) == (0.123457, 1.0, {"RAT001": 1})
