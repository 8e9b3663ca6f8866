"""JSON values of one array or one behind the other: the same for every cut, at once when whole, honest about ends."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.errors import LLMProtocolError
from loomwire.domain.policies import MIB
from loomwire.infrastructure.transport.framing.json_stream import JSONStreamDecoder
from support.cuts import cut, fed

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(['"', "\\", '\\"', "[{", "}],"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
TOKENS = st.sampled_from(
    [
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b'"',
        b"\\",
        b'\\"',
        b"\\\\",
        b" ",
        b"\r\n",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xa8",
        b"nil",
    ]
)


def values(parts: list[bytes], limit: int = MIB) -> tuple[list[bytes], bool]:
    decoder = JSONStreamDecoder(limit)
    found = fed(decoder, parts)
    found += decoder.flush()
    return found, decoder.unfinished


@pytest.mark.parametrize(
    ("body", "expected", "unfinished"),
    [
        (b'[{"a":1}\n,\r\n{"b":[2]}\n]', [b'{"a":1}', b'{"b":[2]}'], False),
        (b'\xef\xbb\xbf \n[{"a":"]},\\"{["}]\r\n', [b'{"a":"]},\\"{["}'], False),
        (b'{"a":1}{"b":2}\n{"c":3}', [b'{"a":1}', b'{"b":2}', b'{"c":3}'], False),
        (b'[{"a":1},{"b":', [b'{"a":1}'], True),
        (b'[{"a":1}', [b'{"a":1}'], False),
        (b'[{"a":"\\', [], True),
        (b'[null, 1, "x", true]', [b"null", b"1", b'"x"', b"true"], False),
        (b"null", [b"null"], False),
        (b"nul", [], True),
        (b"[[1],[[2]]]", [b"[1]", b"[[2]]"], False),
        (b'[{"a":1}] trailing', [b'{"a":1}'], True),
        (b'[{"a":1}]{"b":2}', [b'{"a":1}', b'{"b":2}'], False),
        (b"}{}", [b"}{}"], False),
        (b"[]", [], False),
        (b"[,,]", [], False),
        (b"  \n ", [], False),
        (b"\xef\xbb\xbf", [], False),
        (b"\xef\xbb\xbf" * 2, [], True),
        (b" \xef\xbb\xbf[1]", [b"\xef\xbb\xbf[1]"], False),
        (b"", [], False),
    ],
)
def test_values_are_read_right_for_every_split(body: bytes, expected: list[bytes], unfinished: bool) -> None:
    assert values([body]) == (expected, unfinished)
    assert values([body[i : i + 1] for i in range(len(body))]) == (expected, unfinished)
    for place in range(len(body)):
        assert values([body[:place], body[place:]]) == (expected, unfinished)


@given(
    st.lists(VALUES, max_size=5), st.sampled_from([None, 2]), st.booleans(), st.lists(st.integers(0, 500), max_size=9)
)
def test_any_array_comes_out_as_its_elements(
    wanted: list[object], indent: int | None, ascii_: bool, at: list[int]
) -> None:
    body = json.dumps(wanted, indent=indent, ensure_ascii=ascii_).encode(errors="replace")
    got, unfinished = values(cut(body, at))
    assert [json.loads(value) for value in got] == json.loads(body)
    assert not unfinished


@given(st.lists(TOKENS, max_size=40), st.lists(st.integers(0, 500), max_size=12))
def test_no_cut_changes_the_values(parts: list[bytes], places: list[int]) -> None:
    body = b"".join(parts)
    assert values(cut(body, places)) == values([body])


def test_a_value_comes_as_soon_as_it_is_whole() -> None:
    decoder = JSONStreamDecoder()
    assert decoder.feed(b'[{"a":1}') == [b'{"a":1}']
    assert decoder.feed(b",") == []
    assert decoder.feed(b'{"b":2}]') == [b'{"b":2}']


@pytest.mark.parametrize("body", [b'["' + b"x" * 200, b"[" + b"1" * 200 + b"]", b'{"a":"' + b"\\n" * 100 + b'"}'])
def test_a_value_above_the_limit_is_refused_at_every_split(body: bytes) -> None:
    for parts in ([body], [body[i : i + 1] for i in range(len(body))]):
        with pytest.raises(LLMProtocolError, match=r"limits\.event"):
            values(parts, limit=100)


@pytest.mark.parametrize(
    "body", [b"[" * MIB, b'[{"a":"' + b"\\\\" * (MIB // 2), b"[" + b"," * MIB, b"[" + b" \n" * MIB]
)
def test_hostile_bodies_take_time_in_proportion_to_their_size(body: bytes) -> None:
    started = time.perf_counter()
    values([body[at : at + 1000] for at in range(0, len(body), 1000)], limit=4 * MIB)
    assert time.perf_counter() - started < 2
