"""A document shows the line a problem is in, unless the line may hold a secret."""

from __future__ import annotations

import pytest

from loomwire.infrastructure.configuration.documents import MAX_BYTES, Document, Spot, nearest
from loomwire.infrastructure.configuration.schema.secrecy import (
    dotted,
    is_secret_word,
    line_looks_secret,
    quoted,
)


def test_a_file_above_the_bound_is_refused_before_it_is_read() -> None:
    document = Document("a.yaml", b"#" * (MAX_BYTES + 1))
    (problem,) = document.problems()
    assert (problem.reason, problem.message) == ("config_too_large", "the file is larger than 4 MiB")
    assert document.is_broken
    assert not Document("a.yaml", b"#" * MAX_BYTES).is_broken


def test_lines_end_as_editors_end_them_and_a_byte_order_mark_is_no_column() -> None:
    document = Document("a.yaml", "\ufeffa: 1\r\nb: x\tù\rc: 'two\n  lines'\n".encode())
    assert document.spot(("a",)) == Spot(0, 3, 1)
    assert document.spot(("b",)) == Spot(1, 3, 3)
    assert document.spot(("c",)) == Spot(2, 3, 4)
    assert document.problem("wrong_type", "m", ("b",)).excerpt == "b: x ù"


def test_a_path_that_ends_early_means_the_last_key_there_is() -> None:
    document = Document("a.yaml", b"a:\n  - b: {c: 1}\n  - word\n")
    assert document.spot(("a", 0, "b", "x", "y")) == Spot(1, 4, 1)
    assert document.spot(("a", 1, "x")) == Spot(2, 4, 4)
    assert document.spot(("a", 5)) == Spot(0, 0, 1)
    assert document.spot(("z",)) == Spot(0, 0, 1)
    assert document.spot(("a",), at="key") == Spot(0, 0, 1)


@pytest.mark.parametrize(
    "line",
    [
        "api_key: hush",
        "apikey: hush",
        "API-KEY: hush",
        "keys: [a, hush]",
        "access_token: hush",
        "password: hush",
        "x: {headers: {A: hush}}",
        "x: sk-live-1",
        "x: Bearer abc",
        "x: https://a:b@c",
        "x: https://h/?key=1",
        "x: 4f3c2b1a4f3c2b1a4f3c2b1a",
        'api_key: "${KEY:-hush}"',
        "headers: |\n  hush",
    ],
)
def test_a_line_that_may_hold_a_secret_is_not_shown(line: str) -> None:
    document = Document("a.yaml", f"{line}\nother: 1\n".encode())
    key = line.split(":", maxsplit=1)[0]
    assert document.problem("wrong_type", "m", (key,), at="key").excerpt == ""
    assert document.problem("wrong_type", "m", ("other",)).excerpt == "other: 1"


@pytest.mark.parametrize(
    "line",
    [
        "max_tokens: 800",
        "keepalive: 3",
        "api_key: ${KEY}",
        'api_key: "${file:/run/key}"',
        "model: claude-sonnet-4-5-20250929",
    ],
)
def test_a_line_that_holds_none_is_shown(line: str) -> None:
    document = Document("a.yaml", line.encode())
    assert document.problem("wrong_type", "m", (line.split(":", maxsplit=1)[0],)).excerpt == line


@pytest.mark.parametrize(
    "text",
    ['keys:\n  - "hush', "keys:\n- 'hush", 'a:\n  headers:\n    X:\n      "hush', '{api_key: "hush', "keys: [\n 'hush"],
)
def test_without_a_tree_indentation_says_what_a_line_belongs_to(text: str) -> None:
    (problem,) = Document("a.yaml", text.encode()).problems()
    assert "hush" not in problem.render()


def test_without_a_tree_harmless_lines_are_shown() -> None:
    (problem,) = Document("a.yaml", b"api_key: hush\nclients:\n  a: {models: [quick}\n").problems()
    assert problem.excerpt == "  a: {models: [quick}"


def test_what_looks_like_a_secret_is_in_no_message() -> None:
    assert quoted("planner") == "`planner`"
    assert quoted("sk-live-1") == "this name"
    assert dotted(("clients", "sk-live-1", "models", 0)) == "clients.***.models.0"
    assert dotted(("providers", "a", "keys", 0, "hush")) == "providers.a.keys.0.***"
    assert dotted(("providers", "a", "headers", "X-Key", "hush")) == "providers.a.headers.X-Key.***"
    assert line_looks_secret("see https://a:b@c")
    assert not line_looks_secret("see https://a/b")
    assert not line_looks_secret("api_key: ${OPENAI_KEY_OF_2026_AND_LATER}")
    assert is_secret_word("keyes")


def test_the_nearest_name_is_found_or_none() -> None:
    assert nearest("planer", ["reader", "planner"]) == "planner"
    assert nearest("xyz", ["reader", "planner"]) is None


def test_a_known_name_that_looks_like_a_key_is_not_suggested() -> None:
    assert nearest("sk-live-2", ["sk-live-1", "planner"]) is None
