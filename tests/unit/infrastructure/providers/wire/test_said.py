"""Text in pieces comes out as it went in, from any place on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from loomwire.infrastructure.providers.wire.said import Said


@given(st.lists(st.text(max_size=3), max_size=40), st.integers(0, 60), st.integers(1, 200))
def test_what_came_is_there_whole_and_from_any_place_on(pieces: list[str], start: int, times: int) -> None:
    said = Said()
    for piece in pieces * times:
        said.add(piece)
    text = "".join(pieces * times)
    assert said.text() == text
    assert said.count == len(pieces) * times
    assert bool(said) is bool(pieces)
    assert said.since(start) == text[start:]
    assert said.since(len(text)) == ""
    assert said.since(max(len(text) - start, 0)) == text[max(len(text) - start, 0) :]
