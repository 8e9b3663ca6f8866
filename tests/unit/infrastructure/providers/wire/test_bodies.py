"""Broken JSON, error bodies of every shape and waits of every form are read, and never raise anything untyped."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.errors import LLMProtocolError
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.wire.bodies import (
    MAX_WAIT_S,
    ErrorBody,
    duration_at,
    read_error_body,
    retry_after,
    wait_in,
)
from loomwire.infrastructure.providers.wire.json_bytes import deeper_than, parse_arguments, read_json

ANY = msgspec.json.Decoder(dict[str, object])
PLAIN: st.SearchStrategy[JSON] = st.none() | st.booleans() | st.integers() | st.text()
VALUES: st.SearchStrategy[JSON] = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a":"b"}', "b"),
        (b'\n  \n {"a":"b"}', "b"),
        (b'\xef\xbb\xbf{"a":"b"}', "b"),
        (b'{"a":"1","a":"b"}', "b"),
        (b'{"a":"\xff"}', "\ufffd"),
        (rb'{"a":"x\ud83dy"}', "x\ufffdy"),
        (rb'{"a":"\ude00"}', "\ufffd"),
        (rb'{"a":"\ud83d\ude00 \ud83d"}', "\U0001f600 \ufffd"),
        (rb'{"a":"\\ud83d \ud83d"}', r"\ud83d " + "\ufffd"),
        (b'{"a":' + b"9" * 30 + b"}", int("9" * 30)),
    ],
)
def test_json_that_a_server_may_send_is_read(data: bytes, value: object) -> None:
    assert read_json(data, ANY)["a"] == value


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is no JSON"),
        (b"<html>secret</html>", "is no JSON"),
        (b'{"a": NaN}', "is no JSON"),
        (b'{"a":"\xff', "is no JSON"),
        (b"null", "unexpected shape"),
        (b'["secret"]', "unexpected shape"),
        (b'{"a":' + b"9" * 100_000 + b"}", "unexpected shape"),
        (b'{"a":' + b"[" * 100_000, "nested too deep"),
    ],
)
def test_json_that_cannot_be_read_is_a_protocol_error_without_its_text(data: bytes, said: str) -> None:
    with pytest.raises(LLMProtocolError, match=said) as caught:
        read_json(data, ANY)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def nesting(value: JSON) -> int:
    """Return how deep a value is nested; a plain value is 0."""
    inner: Sequence[JSON] = (
        list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()
    )
    return max(map(nesting, inner), default=0) + isinstance(value, dict | list)


@given(VALUES, st.integers(1, 6))
def test_nesting_is_measured_exactly_and_brackets_in_texts_do_not_count(value: JSON, limit: int) -> None:
    data = msgspec.json.encode([value, '[[[[[[[[{"'])
    assert deeper_than(data, limit) == (nesting([value]) > limit)


def test_measuring_a_large_text_with_many_escapes_takes_no_memory_per_escape() -> None:
    assert not deeper_than(msgspec.json.encode({"a": '"\\[' * 300_000}), 3)


def test_arguments_with_half_a_surrogate_pair_are_no_object() -> None:
    assert parse_arguments('{"a":"\ud800"}') is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1", 1.0),
        (" 26.604 ", 26.604),
        ("0", 0.0),
        ("48s", 48.0),
        ("7.66s", 7.66),
        ("120ms", 0.12),
        ("6m0s", 360.0),
        ("1m30.002s", 90.002),
        ("9m38.016s", 578.016),
        ("1h2m3s", 3723.0),
        ("2 seconds", 2.0),
        ("86400 seconds", 86400.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("1e308", None),
        ("86401", None),
        ("9" * 400, None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("2001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("Thu, 99 Foo 99999 99:99:99", None),
    ],
)
def test_a_wait_of_any_form_is_seconds_or_nothing(text: str, seconds: float | None) -> None:
    assert wait_in(text) == pytest.approx(seconds)


def test_dates_and_epochs_are_counted_from_now() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    forms = [
        format_datetime(soon, usegmt=True),
        soon.isoformat(),
        soon.replace(tzinfo=None).isoformat(),
        str(time.time() + 30),
        str(int((time.time() + 30) * 1000)),
    ]
    for form in forms:
        wait = wait_in(form)
        assert wait is not None, form
        assert 27 < wait < 31, form


@given(st.text(max_size=40) | st.floats().map(str) | st.integers().map(str))
def test_no_text_makes_the_reading_of_waits_fail(text: str) -> None:
    wait = wait_in(text)
    assert wait is None or 0 <= wait <= MAX_WAIT_S


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "0", "retry-after": "1"}, 1.0),
        ({"retry-after-ms": "0"}, 0.0),
        ({"retry-after-ms": "nan", "retry-after": "inf"}, None),
    ],
)
def test_milliseconds_win_unless_they_say_nothing(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_a_duration_inside_a_sentence_is_found_at_its_place() -> None:
    text = "Please try again in 1m30.5s. Then 9h."
    assert duration_at(text, text.index("1m")) == 90.5
    assert duration_at(text, 0) is None


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (
            '{"error":{"message":"no","type":"t","param":null,"code":"c"}}',
            ErrorBody(("c", "t"), "c", "t", "no"),
        ),
        ('{"error":{"message":"no","type":"t","code":null}}', ErrorBody(("t",), None, "t", "no")),
        ('{"error":{"message":"no","code":429}}', ErrorBody((), "429", None, "no", 429)),
        ('{"error":{"message":"no","code":"401"}}', ErrorBody(("401",), "401", None, "no", 401)),
        (
            '{"type":"error","error":{"type":"overloaded_error","message":"busy","details":null},"request_id":"r"}',
            ErrorBody(("overloaded_error", "error"), None, "overloaded_error", "busy"),
        ),
        (
            '[{"error":{"code":429,"message":"no","status":"EXHAUSTED","details":[{"reason":"Q"},{"retryDelay":"48s"}]}}]',
            ErrorBody(("EXHAUSTED", "Q"), "429", "EXHAUSTED", "no", 429, 48.0),
        ),
        ('{"error":"text"}', ErrorBody((), None, None, "text")),
        ('{"message":"text"}', ErrorBody((), None, None, "text")),
        ('{"error_type":"t","id":"i","message":"no"}', ErrorBody(("t",), None, "t", "no")),
        ('{"detail":"text"}', ErrorBody((), None, None, "text")),
        ('{"detail":[{"type":"missing","loc":["a"]}]}', ErrorBody((), None, None, '[{"type":"missing","loc":["a"]}]')),
        (
            '{"object":"error","message":{"detail":[1]},"type":"t","code":null}',
            ErrorBody(("t",), None, "t", '{"detail":[1]}'),
        ),
        (
            '{"object":"error","message":"no","type":"t","code":"1500","raw_status_code":400}',
            ErrorBody(("1500", "t"), "1500", "t", "no", 400),
        ),
        ('{"code":"invalid","error":"text"}', ErrorBody(("invalid",), "invalid", None, "text")),
        (
            '{"error":{"message":"Provider returned error","code":429,"metadata":{"raw":"busy upstream"}}}',
            ErrorBody((), "429", None, "Provider returned error: busy upstream", 429),
        ),
        (
            '{"error":{"code":400,"metadata":{"raw":"{\\"error\\":{\\"message\\":\\"long\\",\\"code\\":\\"c\\"}}"}}}',
            ErrorBody(("c",), "400", None, "long", 400),
        ),
        (
            '{"error":{"message":"{\\"message\\":\\"inner\\",\\"type\\":\\"t\\"}","code":500}}',
            ErrorBody(("t",), "500", None, "inner", 500),
        ),
        (
            '{"error":{"message":"no","metadata":{"headers":{"X-RateLimit-Reset":"5"}}}}',
            ErrorBody((), None, None, "no", None, 5.0),
        ),
        (
            '{"error":{"message":"no","code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"}}}',
            ErrorBody(("content_filter", "ResponsibleAIPolicyViolation"), "content_filter", None, "no"),
        ),
        (
            '{"error":{"message":"no","type":"t","status_code":400,"failed_generation":"x"}}',
            ErrorBody(("t",), None, "t", "no", 400),
        ),
        ('data: {"error":{"message":"no"}}', ErrorBody((), None, None, "no")),
        ('"text"', ErrorBody((), None, None, "text")),
        ("plain words", ErrorBody((), None, None, "plain words")),
        ("<html>Bad gateway</html>", ErrorBody()),
        ('{"error":{"message":"cut', ErrorBody()),
        ("", ErrorBody()),
        ("[]", ErrorBody()),
        ("17", ErrorBody()),
        ("{}", ErrorBody()),
        ('{"error":{}}', ErrorBody()),
    ],
)
def test_an_error_body_of_any_shape_is_read(body: str, read: ErrorBody) -> None:
    assert read_error_body(body.encode()) == read


@given(st.binary(max_size=200) | VALUES.map(msgspec.json.encode))
def test_no_bytes_make_the_reading_of_error_bodies_fail(body: bytes) -> None:
    assert isinstance(read_error_body(body), ErrorBody)


@given(st.dictionaries(st.sampled_from(["error", "message", "code", "type", "detail", "metadata", "details"]), VALUES))
def test_no_json_makes_the_reading_of_error_bodies_fail(value: dict[str, JSON]) -> None:
    assert isinstance(read_error_body(msgspec.json.encode({"error": value, **value})), ErrorBody)
