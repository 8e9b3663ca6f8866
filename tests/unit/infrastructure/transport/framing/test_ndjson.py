"""Lines of JSON: the same for every cut of the same bytes, and honest about a cut body."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.errors import LLMProtocolError
from loomwire.domain.policies import MIB
from loomwire.infrastructure.transport.framing.ndjson import NDJSONDecoder
from support.cuts import cut, fed


def lines(parts: list[bytes], limit: int = MIB) -> tuple[list[bytes], bool]:
    decoder = NDJSONDecoder(limit)
    found = fed(decoder, parts)
    found += decoder.flush()
    return found, decoder.unfinished


@pytest.mark.parametrize(
    ("body", "expected", "unfinished"),
    [
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}'], False),
        (b'{"a":1}\r\n\r\n\n {"b":2} \n', [b'{"a":1}', b'{"b":2}'], False),
        (b'\xef\xbb\xbf{"a":1}\n{"b":2}', [b'{"a":1}', b'{"b":2}'], False),
        ('{"a":"\u2028\x85"}\n'.encode(), ['{"a":"\u2028\x85"}'.encode()], False),
        (b'{"a":1}\n{"b":', [b'{"a":1}'], True),
        (b'{"a":1}\n{"b":"\xe2', [b'{"a":1}'], True),
        (b"  \n \n", [], False),
        (b"", [], False),
    ],
)
def test_lines_are_read_right_for_every_split(body: bytes, expected: list[bytes], unfinished: bool) -> None:
    assert lines([body]) == (expected, unfinished)
    assert lines([body[i : i + 1] for i in range(len(body))]) == (expected, unfinished)
    for place in range(len(body)):
        assert lines([body[:place], body[place:]]) == (expected, unfinished)


_JSON_PARTS = st.sampled_from([b'{"a":1}', b"{", b"}", b" ", b"\r", b"\n", b"\n\n", b"\xef\xbb\xbf", b'"x"'])


@given(
    st.lists(_JSON_PARTS, max_size=40),
    st.lists(st.integers(0, 500), max_size=12),
)
def test_no_cut_changes_the_lines(parts: list[bytes], places: list[int]) -> None:
    body = b"".join(parts)
    assert lines(cut(body, places)) == lines([body])


@pytest.mark.parametrize("body", [b"x" * 200, b"x" * 200 + b"\n"])
def test_a_line_above_the_limit_is_refused_at_every_split(body: bytes) -> None:
    for parts in ([body], [body[i : i + 1] for i in range(len(body))]):
        with pytest.raises(LLMProtocolError):
            lines(parts, limit=100)
