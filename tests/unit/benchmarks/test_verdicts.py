"""How the benchmark judges: bars, goals, the baseline, and what the table says of them."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from typing_extensions import override

from benchmarks.__main__ import main
from benchmarks.bars import ROWS, TAKEN_FROM, Row
from benchmarks.figures import Figure, Spread, figures_of
from benchmarks.runs import PLANS, STARTUPS
from benchmarks.table import table, wants_colour
from benchmarks.verdicts import Baseline, Verdict, baseline_of, judge, read_baseline, write_baseline
from benchmarks.worker import Figures

LESS = Row("less", "a time", "x", bar=1.0, goal=0.5)
MORE = Row("more", "a throughput", "x", bar=4.0, goal=8.0, more_is_better=True, in_baseline=False)
INFORMS = Row("informs", "a remark", "x")


def figure(value: float, ratio: float | None = None) -> Figure:
    return Figure(Spread(value, value * 0.9, value * 1.1), ratio=ratio)


def judged(row: Row, value: float, ratio: float | None = None, before: float | None = None) -> Verdict:
    baseline = None if before is None else Baseline({row.key: before}, "CPython 3.11", {})
    return judge({row.key: figure(value, ratio)}, baseline, [row])[0]


@pytest.mark.parametrize(
    ("row", "value", "word"),
    [
        (LESS, 0.5, "goal"),
        (LESS, 0.51, "bar"),
        (LESS, 1.0, "bar"),
        (LESS, 1.01, "MISSED"),
        (LESS, -0.2, "goal"),
        (MORE, 8.0, "goal"),
        (MORE, 4.0, "bar"),
        (MORE, 3.9, "MISSED"),
        (INFORMS, 99.0, "-"),
    ],
)
def test_a_figure_reaches_the_goal_the_bar_or_nothing(row: Row, value: float, word: str) -> None:
    assert judged(row, value).word == word


def test_a_time_on_a_slower_machine_is_held_to_its_bar_by_the_machines_speed() -> None:
    import_time = Row("import", "a time without opponent", "ms", bar=100.0, goal=50.0)
    words = [judge({"import": figure(130)}, None, [import_time], slower)[0].word for slower in (1.0, 1.3, 1.2)]
    assert words == ["MISSED", "scaled", "MISSED"]
    assert judge({"less": figure(1.01)}, None, [LESS], 2.0)[0].word == "MISSED", "a ratio has its opponent in the run"


def test_a_missed_bar_fails_and_a_line_that_informs_never_does() -> None:
    assert judged(LESS, 1.01).failed
    assert not judged(LESS, 1.0).failed
    assert not judged(INFORMS, 99.0).failed


def test_more_than_a_quarter_worse_than_the_baseline_fails_though_the_bar_is_met() -> None:
    assert not judged(LESS, 0.4, ratio=0.4, before=0.32).failed
    worse = judged(LESS, 0.41, ratio=0.41, before=0.32)
    assert worse.word == "WORSE"
    assert worse.failed


def test_a_line_that_informs_is_still_held_against_the_baseline() -> None:
    assert judged(INFORMS, 2.0, ratio=2.0, before=1.0).word == "WORSE"


def test_a_row_outside_the_baseline_is_not_compared() -> None:
    assert judged(replace(LESS, in_baseline=False), 0.4, ratio=0.4, before=0.1).word == "goal"


def test_a_baseline_survives_being_written_and_read_and_holds_no_times(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    assert read_baseline(path) is None
    kept = baseline_of({"less": figure(0.41234, 0.41234), "more": figure(5.0)}, [LESS, MORE])
    write_baseline(kept, path)
    assert read_baseline(path) == kept
    assert kept.ratios == {"less": 0.412}


def every_sample(speed: float) -> dict[str, dict[str, list[Figures]]]:
    """Return samples of every measurement, from a machine that is so many times slower."""
    both = {"cpu": 2e-4 * speed, "wall": 2e-4 * speed}
    raw = {"cpu": 4e-4 * speed, "wall": 4e-4 * speed}
    inside = ("layers", "layers_stream", "resolve", "few_clients", "many_clients", "imported", "container", "networked")
    samples: dict[str, dict[str, list[Figures]]] = {
        name: {"ours": [both, both], "httpx": [raw, raw], "aiohttp": [both, both]}
        for name in ("sequential", "history", "concurrent", "burst", "chunk", "slow_chunk", "first")
    }
    samples |= {name: {"ours": [both | {"resident": 3e7}]} for name in inside}
    samples |= {name: {"ours": [both]} for name in ("breaker", "limiter", "fail_fast")}
    samples["bare"] = {"ours": [{"resident": 1e7}]}
    samples["further_clients"] = {"ours": [{"cpu": 1e-4 * speed, "bytes": 3000.0}]}
    samples["growth"] = {"ours": [{"bytes": 1.0, "objects": 0.0}]}
    samples |= {name: {"ours": [{"share": 0.99}]} for name in ("reuse_sequential", "reuse_demo")}
    return samples


def test_every_row_of_the_table_has_a_figure_and_no_figure_is_without_a_row() -> None:
    assert set(figures_of(every_sample(1.0))) == {row.key for row in ROWS}
    assert len({row.key for row in ROWS}) == len(ROWS)


def test_every_row_can_be_measured_once_more() -> None:
    measured = {plan.measure for plan in PLANS} | set(STARTUPS)
    taken_from = {row.key: TAKEN_FROM.get(row.key, (row.key,)) for row in ROWS}
    assert {key: names for key, names in taken_from.items() if not measured.issuperset(names)} == {}
    assert TAKEN_FROM.keys() <= taken_from.keys()


def test_a_slower_machine_is_no_regression() -> None:
    fast, slow = (baseline_of(figures_of(every_sample(speed))) for speed in (1.0, 3.0))
    assert fast == slow
    assert fast.ratios["sequential"] == 0.5
    assert fast.ratios["layers"] == 0.5


def test_rounds_are_compared_pair_by_pair() -> None:
    samples = every_sample(1.0)
    samples["sequential"]["httpx"] = [{"cpu": 1.0, "wall": 1.0}, {"cpu": 10.0, "wall": 10.0}]
    samples["sequential"]["ours"] = [{"cpu": 0.5, "wall": 0.5}, {"cpu": 5.0, "wall": 5.0}]
    assert figures_of(samples)["sequential"].ours == Spread(0.5, 0.5, 0.5)


class Terminal(io.StringIO):
    @override
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_that_want_it() -> None:
    assert wants_colour(Terminal(), {})
    assert not wants_colour(Terminal(), {"NO_COLOR": "1"})
    assert not wants_colour(Terminal(), {"TERM": "dumb"})
    assert not wants_colour(io.StringIO(), {})


def test_the_table_says_what_was_missed_and_is_plain_without_colour() -> None:
    verdicts = [judged(LESS, 1.2), judged(MORE, 9.0), judged(INFORMS, 3.0)]
    plain = table(verdicts)
    assert "\x1b" not in plain
    assert "bar missed: a time" in plain
    assert "1 of 2 bars met, 1 goals reached" in plain
    assert ">= 4.00x" in plain
    coloured = table(verdicts, colour=True)
    assert "\x1b[31;1mMISSED\x1b[0m" in coloured
    assert coloured.replace("\x1b[31;1m", "").replace("\x1b[32m", "").replace("\x1b[0m", "") == plain


@pytest.mark.parametrize("words", [["--quick", "--update-baseline"], ["--quickly"]])
def test_wrong_words_are_refused_before_anything_is_measured(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage: python -m benchmarks" in capsys.readouterr().err
