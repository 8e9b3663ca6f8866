"""YAML is read into plain values whose places are known; what is dangerous or ambiguous is refused."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.values import JSON
from loomwire.infrastructure.configuration.scalars import Flaw, PlainReference, Reference
from loomwire.infrastructure.configuration.yaml_tree import (
    MAX_DEPTH,
    MAX_NODES,
    IEventSource,
    Items,
    Table,
    fastest_parser,
    read_tree,
)


def python_parser(text: str) -> IEventSource:
    """Return PyYAML's own parser, as where libyaml is missing."""
    return yaml.SafeLoader(text)


PARSERS = [fastest_parser, python_parser]


def plain(text: str) -> JSON:
    """Return the values of a text without flaws; both parsers must agree."""
    values = []
    for parser in PARSERS:
        root, flaws = read_tree(text, parser)
        assert flaws == []
        values.append(root.plain if isinstance(root, Items | Table) else root)
    assert values[0] == values[1]
    return values[0]


def flaws(text: str) -> list[Flaw]:
    """Return what is wrong with a text; both parsers must agree on reasons and places."""
    found = [read_tree(text, parser)[1] for parser in PARSERS]
    both = [[(flaw.reason, flaw.line, flaw.column, flaw.path, flaw.fatal) for flaw in each] for each in found]
    assert both[0] == both[1]
    return found[0]


def test_scalars_lists_and_mappings_become_plain_values() -> None:
    text = "a: [1, no, 'x', \"y\\n\"]\nb:\n  c: |\n    two\n    lines\n  d:\n- is not a key: ''\n"
    assert plain(text.replace("- is", "is")) == {
        "a": [1, "no", "x", "y\n"],
        "b": {"c": "two\nlines\n", "d": None},
        "is not a key": "",
    }


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "~"])
def test_nothing_is_none(text: str) -> None:
    assert plain(text) is None


def test_keys_are_texts_whatever_they_look_like() -> None:
    assert plain("1: a\ntrue: b\n~: c\n") == {"1": "a", "true": "b", "~": "c"}


def test_every_key_and_value_knows_its_place() -> None:
    root, _ = read_tree("é: 1\nb:\n  - x\n  - {c: 'd'}\n")
    assert isinstance(root, Table)
    items = root.below["b"]
    assert isinstance(items, Items)
    inner = items.below[1]
    assert isinstance(inner, Table)
    assert root.marks == {"é": (0, 0, 0, 3, 0, 4), "b": (1, 0, 2, 2, 4, 0)}
    assert items.marks == [(2, 4, 2, 4, 2, 5), (3, 4, 3, 4, 3, 12)]
    assert inner.marks == {"c": (3, 5, 3, 8, 3, 11)}


def test_references_are_kept_with_the_way_they_are_written() -> None:
    root, _ = read_tree("a: ${A}\nb: \"${B}\"\nc: [x, {d: 'p${D}'}]\ne: plain\n")
    assert isinstance(root, Table)
    assert root.dirty
    assert isinstance(root.plain["a"], PlainReference)
    assert isinstance(root.plain["b"], Reference)
    assert not isinstance(root.plain["b"], PlainReference)
    assert root.below["c"].dirty
    assert not isinstance(root.plain["e"], Reference)


def test_aliases_share_and_merge_keys_fill_gaps() -> None:
    text = "base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\none: {<<: *b, y: 9}\ntwo: {<<: [*m, *b]}\nsame: *b\n"
    read = plain(text)
    assert isinstance(read, dict)
    assert read["one"] == {"x": 1, "y": 9}
    assert read["two"] == {"x": 1, "y": 3, "z": 4}
    assert read["same"] is read["base"]
    assert plain("a: &a 7\nb: *a\n'<<': text\n") == {"a": 7, "b": 7, "<<": "text"}


def test_merged_keys_keep_the_place_where_they_are_written() -> None:
    root, _ = read_tree("base: &b {x: 1}\none:\n  <<: *b\n")
    assert isinstance(root, Table)
    assert root.below["one"].marks == {"x": (0, 10, 0, 13, 0, 14)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", [Flaw("duplicate_key", "`a` stands twice (first in line 1)", 2, 0, ("a",))]),
        (
            "a: {x: 1, x: {y: 2}}\n",
            [Flaw("duplicate_key", "`x` stands twice (first in line 1)", 0, 10, ("a", "x"))],
        ),
        ("<<: {a: 1}\n<<: {b: 2}\n", [Flaw("duplicate_key", "`<<` stands twice", 1, 0, ("<<",))]),
        ("<<: 1\n", [Flaw("wrong_type", "`<<` takes mappings only", 0, 4, ("<<",))]),
        ("<<: [{}, 1]\n", [Flaw("wrong_type", "`<<` takes mappings only", 0, 10, ("<<",))]),
        ("a: !!str 1\n", [Flaw("tag_refused", "a YAML tag stands here", 0, 3, ("a",))]),
        ("a: !x [1]\n", [Flaw("tag_refused", "a YAML tag stands here", 0, 3, ("a",))]),
        ("- !!python/object:os.system {}\n", [Flaw("tag_refused", "a YAML tag stands here", 0, 2, (0,))]),
        ("! a: 1\n", [Flaw("tag_refused", "a YAML tag stands here", 0, 0, ())]),
        ("a: [.nan]\n", [Flaw("out_of_range", "must be a number, not infinity or NaN", 0, 4, ("a", 0))]),
        ("a: *b\n", [Flaw("not_yaml", "no anchor `&b` stands before it", 0, 3, ("a",), fatal=True)]),
        ("a: &b [*b]\n", [Flaw("cycle", "`*b` stands inside its own anchor", 0, 7, ("a", 0), fatal=True)]),
        ("[a]: 1\n", [Flaw("wrong_type", "a key must be a word; put it in quotes", 0, 0, (), fatal=True)]),
        ("a: 1\n---\nb: 2\n", [Flaw("not_yaml", "a second document begins; a file holds one", 1, 0, (), fatal=True)]),
    ],
)
def test_what_is_ambiguous_is_refused_where_it_stands(text: str, expected: list[Flaw]) -> None:
    assert flaws(text) == expected


BROKEN = ["a: [1", "a: 'x", "a: {b: ", "\ta: 1", "a:\n\t- b", "a: b: c", "%YAML 3.0\n---\n", "@x", 'a: "\\q"']


@pytest.mark.parametrize("text", BROKEN)
def test_broken_yaml_is_one_fatal_flaw_with_a_place(text: str) -> None:
    for parser in PARSERS:
        root, found = read_tree(text, parser)
        assert root is None
        assert [(flaw.reason, flaw.fatal) for flaw in found] == [("not_yaml", True)]
        assert found[0].line <= text.count("\n") + 1


def test_flaws_before_a_fatal_one_are_kept() -> None:
    assert [flaw.reason for flaw in read_tree("a: 1\na: 2\nb: [")[1]] == ["duplicate_key", "not_yaml"]


@pytest.mark.parametrize("opening", ["[", "{a: "])
def test_nesting_is_bounded(opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    deep = f"{opening * MAX_DEPTH}1{closing * MAX_DEPTH}"
    assert read_tree(deep)[1] == []
    assert [flaw.reason for flaw in flaws(f"{opening * (MAX_DEPTH + 1)}1")] == ["config_too_large"]
    assert [flaw.reason for flaw in flaws(opening * 5000)] == ["config_too_large"]


def test_aliases_do_not_get_round_the_bound_of_nesting() -> None:
    half = MAX_DEPTH // 2
    text = f"a: &a {'[' * half}1{']' * half}\nb: {'[' * half}*a{']' * half}\n"
    assert [flaw.reason for flaw in flaws(text)] == ["config_too_large"]


def test_an_alias_bomb_costs_nothing() -> None:
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 9)]
    found = flaws("\n".join(lines))
    assert [(flaw.reason, flaw.line) for flaw in found] == [("config_too_large", 5)]


def test_a_merge_bomb_costs_nothing() -> None:
    wide = ", ".join(f"k{n}: {n}" for n in range(2000))
    text = f"base: &b {{{wide}}}\nall:\n" + "".join(f"  c{n}: {{<<: *b}}\n" for n in range(5000))
    assert [flaw.reason for flaw in read_tree(text)[1]] == ["config_too_large"]


@pytest.mark.full
def test_the_number_of_values_is_bounded() -> None:
    assert [flaw.reason for flaw in read_tree(f"[{'1,' * (MAX_NODES + 1)}]")[1]] == ["config_too_large"]


READABLE = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Cn"], exclude_characters="\ufeff"), max_size=20
)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | NUMBERS | READABLE,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(READABLE, below, max_size=4),
    max_leaves=20,
)


@given(DOCUMENTS)
def test_json_is_yaml(value: JSON) -> None:
    text = json.dumps(value, ensure_ascii=False)
    root, found = read_tree(text)
    assert found == []
    assert (root.plain if isinstance(root, Items | Table) else root) == value


@given(st.text(st.sampled_from("ab:-[]{}&*!|>'\"#%@ \n\t,?<0.~$"), max_size=40))
def test_any_text_is_read_or_refused_and_never_explodes(text: str) -> None:
    for parser in PARSERS:
        root, found = read_tree(text, parser)
        assert root is None or not any(flaw.fatal for flaw in found)
