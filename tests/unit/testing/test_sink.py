from __future__ import annotations

from dataclasses import replace

from loomwire.domain.events import CallRecord
from loomwire.testing import RecordingSink

CALL = CallRecord("call", "planner", "offline", "helper", "answered", 0.5)
ATTEMPT = replace(CALL, level="attempt")


def test_records_are_kept_in_order_and_by_level() -> None:
    sink = RecordingSink()
    sink.emit(ATTEMPT)
    sink.emit(CALL)
    assert sink.records == (ATTEMPT, CALL)
    assert (sink.calls, sink.attempts) == ((CALL,), (ATTEMPT,))
    assert repr(sink) == "RecordingSink(2 records)"


def test_a_sink_can_forget() -> None:
    sink = RecordingSink()
    sink.emit(CALL)
    sink.clear()
    assert sink.records == ()
