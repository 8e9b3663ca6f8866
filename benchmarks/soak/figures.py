"""What a soak measured, how good it must be, and how that is printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from benchmarks.bars import Unit
from benchmarks.table import shown

Word: TypeAlias = Literal["ok", "MISSED", "-"]
HEAD = ("measure", "measured", "bar", "verdict")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One figure of a soak.

    Attributes:
        title: Its name for readers.
        value: What was measured.
        unit: What it counts.
        bar: What must be reached, or None for a figure that only informs.
        more_is_better: Whether a higher figure is the better one.
        is_time: It depends on how fast the machine is, so that no test judges it.
    """

    title: str
    value: float
    unit: Unit = ""
    bar: float | None = None
    more_is_better: bool = False
    is_time: bool = False

    @property
    def word(self) -> Word:
        """The verdict."""
        if self.bar is None:
            return "-"
        sign = -1 if self.more_is_better else 1
        return "ok" if sign * self.value <= sign * self.bar else "MISSED"


def missed(measured: Sequence[Measured], *, times: bool = True) -> list[str]:
    """Return what missed its bar, in words.

    Args:
        measured: The figures.
        times: Judge those too that depend on the machine.
    """
    return [
        f"{one.title}: {_exactly(one.value)} {one.unit}, the bar is {one.bar}"
        for one in measured
        if one.word == "MISSED" and (times or not one.is_time)
    ]


def lines(name: str, size: int, measured: Sequence[Measured]) -> list[str]:
    """Return the table of a soak, its verdict in the last line."""
    rows = [HEAD, *(_cells(one) for one in measured)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    told = [
        "  ".join((row[0].ljust(widths[0]), row[1].rjust(widths[1]), row[2].rjust(widths[2]), row[3])).rstrip()
        for row in rows
    ]
    told.insert(1, "  ".join("-" * width for width in widths))
    judged = [one for one in measured if one.word != "-"]
    met = sum(one.word == "ok" for one in judged)
    return [f"{name}, size {size:,}", "", *told, "", f"{met} of {len(judged)} bars met"]


def _cells(one: Measured) -> tuple[str, str, str, str]:
    limit = "" if one.bar is None else f"{'>=' if one.more_is_better else '<='} {_with_unit(one.bar, one.unit)}"
    return (one.title, _with_unit(one.value, one.unit), limit, one.word)


def _with_unit(value: float, unit: Unit) -> str:
    # Counts and shares are told to their last digit: 99.95 is not 100.
    if unit in ("", "%"):
        return f"{_exactly(value)}{unit}"
    return shown(value, unit)


def _exactly(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:.3f}"
