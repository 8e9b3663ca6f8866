"""Lines of JSON are events, whatever the cuts, and what is no line of JSON is not lost."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.errors import LLMError
from loomwire.domain.policies import WireLimits
from loomwire.infrastructure.providers.ollama.framing import LineFramer

LIMITS = WireLimits()


def framed(*pieces: bytes, limits: WireLimits = LIMITS) -> tuple[list[tuple[str, bytes]], bytes]:
    """Return events and stray text of a body that comes in pieces."""
    framer = LineFramer(limits)
    events = [event for piece in pieces for event in framer.feed(piece)]
    return [*events, *framer.flush()], framer.stray


@given(st.lists(st.dictionaries(st.text(), st.text()), min_size=1), st.lists(st.integers(0, 400)))
def test_lines_are_the_same_for_every_cut(values: list[dict[str, str]], cuts: list[int]) -> None:
    body = "\n".join(json.dumps(value, ensure_ascii=False) for value in values).encode("utf-8", "surrogatepass")
    places = sorted({0, *(cut for cut in cuts if cut < len(body)), len(body)})
    pieces = [body[start:stop] for start, stop in pairwise(places)]
    assert framed(*pieces) == framed(body)


def test_every_line_is_an_event_without_a_name() -> None:
    assert framed(b'\xef\xbb\xbf{"a": 1}\r\n\n{"b"', b": 2}") == ([("", b'{"a": 1}'), ("", b'{"b": 2}')], b"")


def test_an_answer_printed_over_several_lines_is_stray() -> None:
    events, stray = framed(json.dumps({"error": "no", "x": [1]}, indent=2).encode())
    assert (events, json.loads(stray)) == ([], {"error": "no", "x": [1]})


def test_no_more_than_an_errors_body_is_kept_of_stray_text() -> None:
    events, stray = framed(b"{\n" + b"12345678\n" * 1000, limits=WireLimits(error_body=20))
    assert (events, len(stray) <= 22) == ([], True)


def test_a_page_is_left_to_the_reader_and_a_line_without_end_is_refused() -> None:
    assert framed(b"<html>\n{}\n") == ([("", b"<html>"), ("", b"{}")], b"")
    with pytest.raises(LLMError) as caught:
        framed(b"x" * 200, limits=WireLimits(event=100))
    assert caught.value.reason == "too_large"


@pytest.mark.parametrize(
    ("body", "is_cut"),
    [(b'{"a": 1}\n{"b', True), (b'{"a', True), (b'{"a": 1}\n', False), (b'{"a": 1}', False), (b"<p", False)],
)
def test_a_body_that_ends_within_a_line_of_json_is_unfinished(
    body: bytes,
    is_cut: bool,  # a parameter of the test
) -> None:
    framer = LineFramer(WireLimits())
    framer.feed(body)
    framer.flush()
    assert framer.unfinished is is_cut
