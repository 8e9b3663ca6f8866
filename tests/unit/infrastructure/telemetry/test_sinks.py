from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from typing_extensions import override

from loomwire.domain.events import CallRecord
from loomwire.domain.pricing import Cost, Unpriced, Usage
from loomwire.infrastructure.telemetry.sinks import LoggingSink

ANSWERED = CallRecord(
    "call",
    "planner",
    "openai",
    "gpt-5-mini",
    "answered",
    0.1234,
    usage=Usage(12, 34),
    cost=Cost(1230),
    streamed=True,
    tenant="acme",
    session="s1",
)
ANSWERED_LINE = (
    "call client=planner target=openai/gpt-5-mini outcome=answered latency_s=0.123 streamed=yes "
    "tokens=12+34 cost_usd=0.00123"
)
FAILED = CallRecord(
    "attempt", "planner", "openai", "gpt-5-mini", "failed", 2.0, code="RAT001", cost=Unpriced("no_usage")
)


class _Untouchable:
    """Fails the test when somebody formats it."""

    @override
    def __str__(self) -> str:
        raise AssertionError("formatted although the level is off")


def test_an_answer_is_one_line_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "loomwire.calls"):
        LoggingSink().emit(ANSWERED)
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (
            logging.DEBUG,
            ANSWERED_LINE,
        )
    ]


def test_a_failure_is_one_line_at_info_with_its_code(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "loomwire.calls"):
        LoggingSink().emit(FAILED)
        LoggingSink().emit(ANSWERED)
    assert [record.getMessage() for record in caplog.records] == [
        "attempt client=planner target=openai/gpt-5-mini outcome=failed code=RAT001 latency_s=2.000"
    ]


def test_cancelled_and_abandoned_calls_are_no_failures(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "loomwire.calls"):
        LoggingSink().emit(replace(ANSWERED, outcome="cancelled"))
        LoggingSink().emit(replace(ANSWERED, outcome="abandoned"))
    assert caplog.records == []


def test_nobody_asked_leaves_the_target_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "loomwire.calls"):
        LoggingSink().emit(replace(FAILED, provider="", model=""))
    assert "target" not in caplog.messages[0]


@pytest.mark.parametrize("hostile", ["a\nb", "a\x1b[31mb", "a\x9bb", "a b=c", "a\u2028b", "a\x7fb"])
def test_a_servers_name_can_forge_neither_a_line_nor_a_field(hostile: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "loomwire.calls"):
        LoggingSink().emit(replace(FAILED, model=hostile))
    line = caplog.messages[0]
    assert line.isprintable()
    assert len(line.split(" ")) == 6
    assert f"a\\x{ord(hostile[1]):02x}" in line


def test_tenants_and_sessions_stay_out_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "loomwire.calls"):
        LoggingSink().emit(ANSWERED)
    assert "acme" not in caplog.text
    assert "s1" not in caplog.text


def test_nothing_is_formatted_while_the_level_is_off(caplog: pytest.LogCaptureFixture) -> None:
    record = replace(FAILED)
    object.__setattr__(record, "client", _Untouchable())
    with caplog.at_level(logging.WARNING, "loomwire.calls"):
        LoggingSink().emit(record)
    assert caplog.records == []


def test_a_call_that_was_answered_for_is_a_failure_that_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "loomwire.calls"):
        LoggingSink().emit(replace(FAILED, level="call", degraded=True))
    assert caplog.messages[0].endswith("outcome=failed code=RAT001 latency_s=2.000 degraded=yes")
