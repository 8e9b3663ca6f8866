from __future__ import annotations

import pytest

from loomwire.cli.operating.words import coloured, columns, seconds, share, show_table
from loomwire.domain.values import JSON


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0123, "12 ms"),
        (3.44, "3.4 s"),
        (61, "61 s"),
        (600, "10 min"),
        (7200.0, "2 h"),
        (180_000, "2 d"),
        (None, "unknown"),
    ],
)
def test_times_have_a_unit_that_suits_them(value: JSON, words: str) -> None:
    assert seconds(value) == words


def test_shares_are_in_percent_and_states_in_words() -> None:
    assert (share(0.925), share(None)) == ("92.5%", "?")
    assert (coloured("unknown", 9), coloured("half_open")) == ("unknown  ", "\x1b[33mhalf open\x1b[0m")


def test_the_last_column_of_a_table_goes_on_below_itself_in_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = [("a", "closed", "an operator decided so, last with NET002"), ("b", "open", "")]
    show_table(("who", "state", "why"), lines, width=36)
    assert capsys.readouterr().out.splitlines() == [
        "who  state   why",
        "a    closed  an operator decided so,",
        "             last with NET002",
        "b    open",
    ]
    show_table(("who", "state", "why"), lines, width=5)
    assert "an operator decided\n" in capsys.readouterr().out
    show_table(("who", "state", "why"), lines, width=columns())
    assert f"a    closed  {lines[0][2]}\n" in capsys.readouterr().out
