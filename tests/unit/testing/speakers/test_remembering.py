"""What a speaker says is built once and numbered anew, and a spoiled saying differs where it says so."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.table import DIALECTS
from loomwire.testing import Failure, Pace, ReceivedRequest, Reply
from loomwire.testing.speakers.eventstream import is_framed, message, reframed
from loomwire.testing.speakers.spoiling import (
    everywhere,
    from_the_middle,
    in_body,
    in_events,
    in_turn,
    of_another_request,
    within,
    without_events,
    wrong_call_ids,
    wrong_counts,
)
from loomwire.testing.speakers.table import speaker_of
from loomwire.testing.speakers.telling import HTTP_STATUS, NUMBER
from loomwire.testing.speaking import REFUSALS, Saying
from loomwire.testing.wire import HttpReply

MOST_KNOWN = 64
ASKED: Mapping[str, tuple[str, JSON]] = {
    "openai_chat": ("/v1/chat/completions", {"model": "m", "stream": True}),
    "openai_responses": ("/v1/responses", {"model": "m", "stream": True}),
    "anthropic": ("/v1/messages", {"model": "m", "stream": True, "max_tokens": 9, "messages": []}),
    "gemini": ("/v1beta/models/m:streamGenerateContent?alt=sse", {"contents": []}),
    "cohere": ("/v2/chat", {"model": "m", "stream": True}),
    "ollama": ("/api/chat", {"model": "m"}),
    "bedrock": ("/model/m/converse-stream", {"messages": []}),
}
SAYING = Saying(
    model="m",
    usage=Usage(1, 1),
    content_type="text/event-stream",
    request_id="req-1",
    events=(b'{"a": 1}', b'{"a": 2}', b'{"a": 3}'),
)
PLAIN = Saying(model="m", usage=Usage(1, 1), content_type="application/json", request_id="req-1", body=b'{"a": 1}')
A = re.compile(rb"\d")
every_dialect = pytest.mark.parametrize("dialect", DIALECTS)


def request(dialect: str, number: int, *, more: int = 0) -> ReceivedRequest:
    path, asked = ASKED[dialect]
    return ReceivedRequest("POST", path, b"", json.dumps(asked).encode() + b" " * more, (number, 1, 1))


def said(dialect: str, reply: Reply, number: int = 7, *, more: int = 0) -> Saying:
    worded = speaker_of(dialect).words(reply, request(dialect, number, more=more))
    assert isinstance(worded, Saying)
    return worded


@every_dialect
def test_the_same_reply_is_said_to_two_requests_alike_but_for_the_number(dialect: str) -> None:
    reply = Reply("One two three.")
    first, second = said(dialect, reply, 3), said(dialect, reply, 987654321)
    assert (first.request_id, second.request_id) == ("req-000000000003", "req-000987654321")
    assert [event.replace(b"000000000003", b"000987654321") for event in first.events] == list(second.events)
    assert first.output_tokens_in(10**6) == second.output_tokens_in(10**6)


@every_dialect
def test_no_mark_is_left_in_what_is_said(dialect: str) -> None:
    saying = said(dialect, Reply("One two three."))
    assert NUMBER.encode() not in b"".join(saying.events) + saying.body
    assert NUMBER not in saying.request_id


@every_dialect
def test_a_text_that_holds_the_mark_is_said_as_it_is(dialect: str) -> None:
    saying = said(dialect, Reply(NUMBER))
    assert b"\\u0000" * len(NUMBER) in b"".join(saying.events)


@every_dialect
def test_what_was_forgotten_is_said_the_same_again(dialect: str) -> None:
    reply = Reply("One two three.")
    before = said(dialect, reply)
    for more in range(1, MOST_KNOWN + 2):
        said(dialect, reply, more=more)
    assert said(dialect, reply) == before


@every_dialect
def test_a_pace_is_the_requests_own(dialect: str) -> None:
    asked = request(dialect, 7)
    asked.pace = pace = Pace(first_token_s=1.0, jitter=0.5, seed=1)
    worded = speaker_of(dialect).words(Reply("One."), asked)
    assert isinstance(worded, Saying)
    assert worded.pace == pace.of(7)


@every_dialect
def test_a_failure_is_said_to_every_request_anew(dialect: str) -> None:
    reply = Reply(failure=Failure("overloaded", "busy"))
    speaker = speaker_of(dialect)
    answers = [speaker.words(reply, request(dialect, number)) for number in (1, 2, 2)]
    assert all(isinstance(answer, HttpReply) and answer.status >= 400 for answer in answers)
    assert answers[1] == answers[2]


def test_http_has_a_status_for_every_refusal_but_a_broken_server() -> None:
    assert set(REFUSALS) - HTTP_STATUS.keys() == {"server"}


def test_changes_strike_where_they_say() -> None:
    assert everywhere(A, b"9")(SAYING).events == (b'{"a": 9}',) * 3
    assert everywhere(A, b"9")(PLAIN).body == b'{"a": 9}'
    assert in_events(A, b"9")(PLAIN) == PLAIN
    assert in_body(A, b"9")(SAYING) == SAYING
    assert from_the_middle(A, b"9")(SAYING).events == (b'{"a": 1}', b'{"a": 9}', b'{"a": 9}')
    assert from_the_middle(A, b"9")(PLAIN).body == b'{"a": 9}'
    assert without_events(re.compile(b"2"))(SAYING).events == (b'{"a": 1}', b'{"a": 3}')


def test_changes_in_turn_are_made_in_their_order() -> None:
    assert in_turn(in_body(A, b"x"), in_body(re.compile(b"x"), b"7"), of_another_request)(PLAIN).body == b'{"a": 7}'
    assert in_turn()(PLAIN) == PLAIN


def test_counts_and_ids_are_wrong_by_the_names_of_the_fault_table() -> None:
    counts = wrong_counts(re.compile(rb'("a": )\d'))
    assert counts["negative_usage"](PLAIN).body == b'{"a": -1}'
    assert len(counts["long_number"](PLAIN).body) > 100_000
    ids = wrong_call_ids(re.compile(rb'"a": \d'), b'"a": 0')
    assert [ids[name](PLAIN).body for name in ("no_call_id", "same_call_id")] == [b"{}", b'{"a": 0}']


@given(head=st.binary(max_size=40), payload=st.binary(max_size=80), new=st.binary(max_size=80))
def test_a_message_that_is_changed_is_the_one_that_would_have_been_written(
    head: bytes, payload: bytes, new: bytes
) -> None:
    written = message(head, payload)
    assert is_framed(written)
    assert reframed(written, lambda _: new) == within(written, lambda _: new) == message(head, new)
