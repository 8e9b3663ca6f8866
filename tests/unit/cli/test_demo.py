"""A text that comes in pieces is broken into lines as one that comes whole."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.cli.demo import Flow

WORDS = st.lists(st.text("abcé", min_size=1, max_size=12), min_size=1, max_size=20)


def flowed(pieces: Sequence[str], wide: int) -> str:
    """Return what is printed of a text in pieces."""
    flow = Flow(wide)
    return "".join(map(flow.more, pieces)) + flow.rest()


@given(WORDS, st.integers(1, 7), st.integers(12, 40))
def test_lines_are_as_textwrap_would_break_them_however_the_text_is_cut(words: list[str], cut: int, wide: int) -> None:
    text = " ".join(words)
    pieces = [text[start : start + cut] for start in range(0, len(text), cut)]
    assert flowed(pieces, wide) == textwrap.fill(text, wide, break_on_hyphens=False)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one\n\ntwo three", "one\n\ntwo\nthree"),
        ("  in  two", "  in\ntwo"),
        ("a  b", "a  b"),
        ("unbreakable word", "unbreakable\nword"),
        ("to unbreakable", "to\nunbreakable"),
        ("12345678\n1", "12345678\n1"),
        ("end \n", "end\n"),
        ("", ""),
    ],
)
def test_the_texts_own_lines_and_indents_stay(text: str, shown: str) -> None:
    assert flowed([text], 8) == shown


def test_a_word_is_printed_when_it_is_whole() -> None:
    flow = Flow(20)
    assert [flow.more(piece) for piece in ("The ri", "ver ", "flows")] == ["The", " river", ""]
    assert (flow.rest(), flow.rest()) == (" flows", "")
