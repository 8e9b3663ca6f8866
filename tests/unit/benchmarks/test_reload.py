"""The benchmark of hot reload: its edits are what it says they are, its figures fit its rows, its words are checked."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.edits import Edits, Listener
from benchmarks.reload import ROWS, measured, percentile
from benchmarks.table import table
from benchmarks.verdicts import judge
from loomwire import LLMContainer


def test_an_edit_changes_as_many_clients_as_it_says(tmp_path: Path) -> None:
    edits = Edits(tmp_path, 5, 9)
    with LLMContainer.open(tmp_path, watch=False) as container:
        changed = []
        for count in (1, 1, 5, 0):
            edits.save(count)
            changed.append(len(container.reload().diff.changed))
    assert changed == [1, 1, 5, 5]


def test_the_listener_says_since_when_an_edit_is_in_force(tmp_path: Path) -> None:
    edits = Edits(tmp_path, 2, 9)
    with LLMContainer.open(tmp_path, watch=False) as container:
        listener = Listener(container)
        saved = edits.save(1)
        container.reload()
        assert saved < listener.in_force() < time.perf_counter()


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert [percentile([3.0, 1.0, 2.0, 4.0], share) for share in (0, 50, 99)] == [1.0, 3.0, 4.0]


@pytest.mark.full
@pytest.mark.timeout(120)
def test_every_row_of_the_table_is_measured() -> None:
    figures = measured(lambda _: None, quick=True)
    assert figures.keys() == {row.key for row in ROWS}
    assert figures["failed"].ours.median == 0
    shown = table(judge(figures, None, ROWS))
    assert "raw httpx" not in shown, "columns that nobody fills are left out"


def test_wrong_words_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["reload", "--peers"])
    assert "unrecognized arguments: --peers" in capsys.readouterr().err
