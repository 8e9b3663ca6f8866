"""Scalars mean what the YAML 1.2 core schema says, and texts are readable UTF-8."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.values import FrozenDict, Secret
from loomwire.infrastructure.configuration.scalars import CoreScalar, Flaw, core_scalar, decode, freeze

MEANINGS: list[tuple[str, CoreScalar]] = [
    ("", None),
    ("~", None),
    ("null", None),
    ("NULL", None),
    ("nULL", "nULL"),
    ("true", True),
    ("False", False),
    ("no", "no"),
    ("off", "off"),
    ("yes", "yes"),
    ("010", 10),
    ("0o17", 15),
    ("0xFf", 255),
    ("-0", 0),
    ("+7", 7),
    ("1_000", "1_000"),
    ("1:30", "1:30"),
    ("0b11", "0b11"),
    ("1.5", 1.5),
    (".5", 0.5),
    ("5.", 5.0),
    ("1e3", 1000.0),
    ("-1.5E-2", -0.015),
    (".", "."),
    ("+", "+"),
    ("1.2.3", "1.2.3"),
    ("2026-11-01", "2026-11-01"),
    ("\u0663", "\u0663"),
    ("text", "text"),
    ("nothing", "nothing"),
    ("9223372036854775807", 2**63 - 1),
]


@pytest.mark.parametrize(("text", "value"), MEANINGS)
def test_a_scalar_means_what_the_core_schema_says(text: str, value: CoreScalar) -> None:
    meant = core_scalar(text)
    assert (meant, type(meant)) == (value, type(value))


@pytest.mark.parametrize(
    "text", [".inf", "-.Inf", "+.INF", ".nan", ".NaN", "1e999", "9223372036854775808", "9" * 5000, "0x" + "f" * 500]
)
def test_a_number_no_program_could_use_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="must be a number") as caught:
        core_scalar(text)
    assert text not in str(caught.value)


@given(st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_survive_being_written(number: float) -> None:
    assert core_scalar(repr(number)) == number


@given(st.text())
def test_every_text_has_a_meaning_or_is_refused(text: str) -> None:
    try:
        value = core_scalar(text)
    except ValueError:
        return
    assert not isinstance(value, str) or value == text


def test_a_byte_order_mark_is_no_content() -> None:
    assert decode(b"\xef\xbb\xbfa: 1") == "a: 1"


@pytest.mark.parametrize(
    ("data", "line", "column", "words"),
    [
        (b"a: 1\nb: \xff", 1, 3, "byte 0xff is no UTF-8"),
        ("é: ü\nü".encode() + b"\xc3", 1, 1, "byte 0xc3 is no UTF-8"),
        (b"\xff\xfea\x00", 0, 0, "byte 0xff is no UTF-8"),
        (b"a: \x00", 0, 3, "control character U+0000 is not allowed"),
        (b"a: 1\r\nb: \x1b[31m", 1, 3, "control character U+001B is not allowed"),
        ("a: \ufffe".encode(), 0, 3, "control character U+FFFE is not allowed"),
    ],
)
def test_what_is_no_text_is_refused_where_it_stands(data: bytes, line: int, column: int, words: str) -> None:
    assert decode(data) == Flaw("not_yaml", words, line, column, fatal=True)


@given(st.binary())
def test_any_bytes_are_a_text_or_a_flaw(data: bytes) -> None:
    assert isinstance(decode(data), str | Flaw)


def test_frozen_json_hashes_and_shows_no_secret() -> None:
    frozen = freeze({"a": [1, {"b": None}], "k": Secret("hush")})
    assert frozen == FrozenDict({"a": (1, FrozenDict({"b": None})), "k": "Secret('***')"})
    assert isinstance(hash(frozen), int)
