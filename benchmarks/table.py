"""Prints verdicts as a table: plain text, aligned, colour only where somebody wants it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TextIO

from benchmarks.bars import WORSE, Row
from benchmarks.figures import Spread
from benchmarks.verdicts import Verdict, Word

HEAD = ("measure", "ours", "min..max", "raw httpx", "raw aiohttp", "ours/aiohttp", "bar", "goal", "baseline", "verdict")
_COLOURS: Mapping[Word, str] = {"goal": "32", "bar": "32", "MISSED": "31;1", "WORSE": "31;1"}


def wants_colour(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether to colour: on a terminal, unless NO_COLOR says no."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def table(verdicts: Sequence[Verdict], *, colour: bool = False) -> str:
    """Return the table and a last line that says how it went."""
    cells = [_cells(verdict) for verdict in verdicts]
    told = [column for column in range(len(HEAD)) if any(row[column] for row in cells)]
    rows = [tuple(row[column] for column in told) for row in (HEAD, *cells)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(told))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    if colour:
        lines[2:] = [_coloured(line, verdict.word) for line, verdict in zip(lines[2:], verdicts, strict=True)]
    return "\n".join((*lines, "", *_words(verdicts)))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *middle = (cell.rjust(width) for cell, width in zip(cells[:-1], widths, strict=False))
    return "  ".join((first.strip().ljust(widths[0]), *middle, cells[-1])).rstrip()


def _coloured(line: str, word: Word) -> str:
    code = _COLOURS.get(word)
    return line if code is None else f"{line[: -len(word)]}\x1b[{code}m{word}\x1b[0m"


def _cells(verdict: Verdict) -> tuple[str, ...]:
    row, figure = verdict.row, verdict.figure
    return (
        row.title,
        shown(figure.ours.median, row.unit),
        f"{_digits(figure.ours.low)}..{_digits(figure.ours.high)}",
        "" if figure.httpx is None else f"1 = {_digits(figure.httpx.median)} us",
        _spread(figure.aiohttp, row),
        "" if figure.over_aiohttp is None else f"{_digits(figure.over_aiohttp.median)}x",
        _limit(row.bar, row),
        _limit(row.goal, row),
        "" if verdict.change is None else f"{verdict.change - 1:+.0%}",
        verdict.word,
    )


def _words(verdicts: Sequence[Verdict]) -> list[str]:
    judged = [verdict for verdict in verdicts if verdict.word != "-"]
    missed = [verdict.row.title for verdict in judged if verdict.word == "MISSED"]
    worse = [verdict.row.title for verdict in judged if verdict.word == "WORSE"]
    goals = sum(verdict.word == "goal" for verdict in judged)
    lines = [f"{len(judged) - len(missed) - len(worse)} of {len(judged)} bars met, {goals} goals reached"]
    if missed:
        lines.append(f"bar missed: {', '.join(missed)}")
    if worse:
        lines.append(f"more than {WORSE - 1:.0%} worse than the baseline: {', '.join(worse)}")
    return lines


def _spread(spread: Spread | None, row: Row) -> str:
    return "" if spread is None else shown(spread.median, row.unit)


def _limit(value: float | None, row: Row) -> str:
    if value is None:
        return ""
    return f"{'>=' if row.more_is_better else '<='} {shown(value, row.unit)}"


def shown(value: float, unit: str) -> str:
    """Return a figure with its unit, to three digits."""
    return f"{_digits(value)}{'' if unit in ('x', '%', '') else ' '}{unit}"


def _digits(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
