"""Judges figures by bars and by the committed baseline, and reads and writes that baseline."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from benchmarks.bars import ROWS, WORSE, Row
from benchmarks.figures import Figure

BASELINE = Path(__file__).with_name("baseline.json")
MEASURED_WITH = ("aiohttp", "dependency-injector", "httpx", "msgspec", "pydantic", "PyYAML")
Word: TypeAlias = Literal["goal", "bar", "scaled", "MISSED", "WORSE", "-"]


class Baseline(msgspec.Struct, frozen=True):
    """Ratios that were reached once, and what they were measured with. No times: they belong to one machine."""

    ratios: dict[str, float]
    python: str
    packages: dict[str, str]
    schema: str = "loomwire/bench-baseline/1"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of one row.

    Attributes:
        row: The row.
        figure: Its figure.
        before: Its ratio in the baseline, or None.
        word: goal and bar name what was reached; scaled is the bar, once the machine's speed is taken into account,
            for times that have no opponent in the run; MISSED is below the bar, WORSE than the baseline allows; - is
            for rows that only inform.
    """

    row: Row
    figure: Figure
    before: float | None
    word: Word

    @property
    def failed(self) -> bool:
        """Whether this row fails the benchmark."""
        return self.word in ("MISSED", "WORSE")

    @property
    def change(self) -> float | None:
        """The ratio over the baseline's; above 1 is worse."""
        now = self.figure.ratio
        return None if self.before is None or now is None else now / self.before


def judge(
    figures: Mapping[str, Figure], baseline: Baseline | None, rows: Sequence[Row] = ROWS, slower: float = 1.0
) -> list[Verdict]:
    """Judge every row: first by its bar, then by the baseline.

    Args:
        figures: What was measured.
        baseline: What was reached before.
        rows: What is judged.
        slower: How much longer this machine takes than the one on which the bars in ms and us were set; at least 1.
    """
    ratios = {} if baseline is None else baseline.ratios
    return [_verdict(row, figures[row.key], ratios.get(row.key), slower) for row in rows]


def _verdict(row: Row, figure: Figure, before: float | None, slower: float) -> Verdict:
    word = _by_bar(row, figure.ours.median)
    if word == "MISSED" and row.unit in ("ms", "us") and _by_bar(row, figure.ours.median / slower) != "MISSED":
        word = "scaled"
    verdict = Verdict(row, figure, before if row.in_baseline else None, word)
    if word != "MISSED" and (verdict.change or 0) > WORSE:
        return Verdict(row, figure, before, "WORSE")
    return verdict


def _by_bar(row: Row, value: float) -> Word:
    sign = -1 if row.more_is_better else 1
    if row.goal is not None and sign * value <= sign * row.goal:
        return "goal"
    if row.bar is None:
        return "-"
    return "bar" if sign * value <= sign * row.bar else "MISSED"


def baseline_of(figures: Mapping[str, Figure], rows: Sequence[Row] = ROWS) -> Baseline:
    """Return the ratios worth keeping, to three digits."""
    ratios = {row.key: figures[row.key].ratio for row in rows if row.in_baseline}
    return Baseline(
        {key: float(f"{ratio:.3g}") for key, ratio in ratios.items() if ratio is not None},
        platform.python_implementation() + " " + ".".join(platform.python_version_tuple()[:2]),
        {name: version(name) for name in MEASURED_WITH},
    )


def read_baseline(path: Path = BASELINE) -> Baseline | None:
    """Return the committed baseline, or None before there is one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Baseline)
    except FileNotFoundError:
        return None


def write_baseline(baseline: Baseline, path: Path = BASELINE) -> None:
    """Write the baseline so that a diff shows what changed."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(baseline), indent=2) + b"\n")
