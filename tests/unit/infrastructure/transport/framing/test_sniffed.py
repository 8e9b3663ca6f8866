"""Streams of Google's: events or a JSON array, decided by the first byte, and errors that stand bare between events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.errors import LLMProtocolError
from loomwire.infrastructure.transport.framing.sniffed import SniffedDecoder
from support.cuts import cut, fed

BARE = b'{\n  "error": {\n    "code": 499\n  }\n}'


def events(parts: list[bytes], limit: int = 1000) -> tuple[list[tuple[str, bytes]], bytes, bool]:
    decoder = SniffedDecoder(limit, limit)
    found: list[tuple[str, bytes]] = [*fed(decoder, parts)]
    found += decoder.flush()
    return found, decoder.stray, decoder.unfinished


@pytest.mark.parametrize(
    ("body", "expected", "stray", "unfinished"),
    [
        (b"data: {}\r\n\r\ndata: []\r\n\r\n", [b"{}", b"[]"], b"", False),
        (b"data: {}\r\n\r\n" * 2, [b"{}", b"{}"], b"", False),
        (b"\xef\xbb\xbfdata: {}\n\n", [b"{}"], b"", False),
        (b"\n\n data: {}\n\n", [b"{}"], b"", False),
        (b"[{}\n,\r\n[]]", [b"{}", b"[]"], b"", False),
        (b"\xef\xbb\xbf\r\n[{}]", [b"{}"], b"", False),
        (BARE, [BARE], b"", False),
        (b"data: {}\r\n\r\n" + BARE + b"\n", [b"{}", BARE], b"", False),
        (b"data: {}\n\n{ no json", [b"{}"], b"{ no json", False),
        (b"data: {}\r\n", [b"{}"], b"", False),
        (b'data: {"a', [], b"", True),
        (b'[{"a', [], b"", True),
        (b"<html>\n{x}</html>", [], b"{x}</html>", False),
        (b"", [], b"", False),
        (b" \n", [], b"", False),
        (b"\xef\xbb", [], b"", True),
    ],
)
def test_streams_are_read_right_for_every_split(
    body: bytes, expected: list[bytes], stray: bytes, unfinished: bool
) -> None:
    wanted = ([("message", data) for data in expected], stray, unfinished)
    assert events([body]) == wanted
    assert events([body[i : i + 1] for i in range(len(body))]) == wanted
    for place in range(len(body)):
        assert events([body[:place], body[place:]]) == wanted


@given(
    st.lists(
        st.sampled_from([b"data: {}", b"{", b"}", b"[", b"]", b" ", b"\r\n", b"\n", b"\xef\xbb\xbf", b":"]), max_size=30
    ),
    st.lists(st.integers(0, 500), max_size=12),
)
def test_no_cut_changes_the_events(parts: list[bytes], places: list[int]) -> None:
    body = b"".join(parts)
    assert events(cut(body, places)) == events([body])


@pytest.mark.parametrize("body", [b"data: " + b"x" * 200, b'["' + b"x" * 200])
def test_an_event_above_the_limit_is_refused(body: bytes) -> None:
    with pytest.raises(LLMProtocolError):
        events([body], limit=100)
