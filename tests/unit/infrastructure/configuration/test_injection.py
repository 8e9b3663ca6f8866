"""Variables and secret files come into scalars once, as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.infrastructure.configuration.injection import InjectionError, Injector
from loomwire.infrastructure.configuration.scalars import CoreScalar, PlainReference, Reference, core_scalar

ENVIRON = {
    "A": "one",
    "EMPTY": "",
    "N": "5",
    "NO": "no",
    "NULL": "null",
    "INF": ".inf",
    "NESTED": "${A}",
    "BAD": "\udcff",
}


def injector(root: Path = Path("nowhere")) -> Injector:
    """Return an injector with a few variables."""
    return Injector(ENVIRON, {"A": "weaker", "DOT": "env"}, root)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "one"),
        ("${DOT}", "env"),
        ("x${A}y${N}z", "xoney5z"),
        ("${EMPTY}", ""),
        ("${UNSET:-fallback}", "fallback"),
        ("${UNSET:-}", ""),
        ("${EMPTY:-fallback}", "fallback"),
        ("${EMPTY-fallback}", ""),
        ("${UNSET-fallback}", "fallback"),
        ("${A:-fallback}", "one"),
        ("${A:?must be there}", "one"),
        ("${UNSET:-a:-b}", "a:-b"),
        ("${UNSET:-$A}", "$A"),
        ("${UNSET:-two\nlines}", "two\nlines"),
        ("${NESTED}", "${A}"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("cost: 5$ or $A, $ or $$", "cost: 5$ or $A, $ or $$"),
        ("$${A} and ${A}", "${A} and one"),
    ],
)
def test_references_are_replaced_once_and_a_lone_dollar_is_a_dollar(text: str, value: str) -> None:
    assert injector().value(Reference(text)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${N}", 5),
        ("${NO}", "no"),
        ("${NULL}", None),
        ("${EMPTY}", None),
        ("${UNSET:-0.5}", 0.5),
        ("${UNSET:-true}", True),
        ("${N}${N}", "55"),
        (" ${N}", " 5"),
        ("$${N}", "${N}"),
    ],
)
def test_a_lone_reference_without_quotes_takes_the_type_of_what_comes_in(text: str, value: CoreScalar) -> None:
    assert injector().value(PlainReference(text)) == value


def test_quotes_keep_a_number_a_text() -> None:
    assert injector().value(Reference("${N}")) == "5"


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        ("${UNSET}", "variable_unset", "environment variable UNSET is not set"),
        ("${UNSET:?}", "variable_unset", "environment variable UNSET is not set"),
        ("${UNSET:?get a key}", "variable_unset", "environment variable UNSET: get a key"),
        ("${EMPTY:?get a key}", "variable_unset", "environment variable EMPTY: get a key"),
        ("${A", "out_of_range", "`${` has no `}`"),
        ("${}", "out_of_range", "the reference is malformed"),
        ("${1A}", "out_of_range", "the reference is malformed"),
        ("${A:+x}", "out_of_range", "the reference is malformed"),
        ("${A?x}", "out_of_range", "the reference is malformed"),
        ("${UNSET:-${A}}", "out_of_range", "`${` has no `}`"),
        ("${BAD}", "out_of_range", "environment variable BAD is no UTF-8 text"),
        ("${file:/absent}", "secret_unreadable", "the secret file cannot be read (there is no such file)"),
        ("${file:}", "secret_unreadable", "the secret file cannot be read (there is no such file)"),
    ],
)
def test_what_cannot_be_put_in_says_why(text: str, reason: str, message: str) -> None:
    with pytest.raises(InjectionError) as caught:
        injector().value(Reference(text))
    assert (caught.value.reason, str(caught.value)) == (reason, message)


def test_a_number_beyond_all_bounds_is_refused_where_a_text_is_not() -> None:
    assert injector().value(Reference("${INF}")) == ".inf"
    with pytest.raises(InjectionError, match="must be a number, not infinity"):
        injector().value(PlainReference("${INF}"))


def test_files_come_in_by_path_and_by_the_variable_with_file_behind_its_name(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hush\n")
    found = Injector({"K_FILE": str(tmp_path / "key"), "L": "direct", "L_FILE": "absent"}, {"M_FILE": "key"}, tmp_path)
    assert found.value(Reference(f"${{file:{tmp_path}/key}}")) == "hush"
    assert found.value(Reference("${file:key}")) == "hush"
    assert found.value(Reference("${K}${K:-x}${M}")) == "hushhushhush"
    assert found.value(Reference("${L}")) == "direct"


def test_an_unreadable_file_names_the_variable_and_not_its_value(tmp_path: Path) -> None:
    with pytest.raises(InjectionError) as caught:
        Injector({"K_FILE": "canary"}, {}, tmp_path).value(Reference("${K}"))
    assert str(caught.value) == "the file that K_FILE names cannot be read (there is no such file)"


def test_everything_asked_for_is_remembered_by_digest(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hush")
    one = Injector({"A": "1"}, {}, tmp_path)
    one.value(Reference("${A} ${B:-x} ${file:key}"))
    other = Injector({"A": "2"}, {}, tmp_path)
    other.value(Reference("${A} ${B:-x} ${file:key}"))
    assert list(one.used) == ["A", "B", "file:key"]
    assert one.used["A"] != other.used["A"]
    assert one.used["B"] == b""
    assert one.used["file:key"] == other.used["file:key"]
    assert "hush" not in repr(one.used)


VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


@given(VALUES)
def test_a_value_comes_in_as_it_is_whatever_it_looks_like(value: str) -> None:
    found = Injector({"V": value}, {}, Path("nowhere"))
    assert found.value(Reference("${V}")) == value
    assert found.value(Reference("<${V}>")) == f"<{value}>"
    try:
        expected = core_scalar(value)
    except ValueError:
        return
    assert found.value(PlainReference("${V}")) == expected


@given(st.text(st.sampled_from("${}A:-?file/ "), max_size=20))
def test_any_text_is_filled_or_refused(text: str) -> None:
    try:
        result = injector().text(text)
    except InjectionError:
        return
    assert "${" in text or result == text
