"""The comparison for readers: a table for the terminal, Markdown for the README, JSON for machines."""

from __future__ import annotations

import platform
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import msgspec

from benchmarks.clients.adapter import ClientName
from benchmarks.figures import Spread
from benchmarks.peers.comparison import Comparison
from benchmarks.peers.contenders import PACKAGES, TITLES
from benchmarks.peers.standings import OWN, YARDSTICK, Standing

COMMAND = "python3 dev.py bench --peers"
_HEADS = ("client", "sequential call", "64 at once: CPU / throughput", "streamed chunk", "40 messages, 20 tools",
          "import", "first answer")  # fmt: skip
# Which columns stand together in one column of the Markdown.
_CELLS = (("sequential",), ("concurrent", "throughput"), ("chunk",), ("history",), ("import", "import_rss"),
          ("ready", "ready_rss"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """A comparison and how it is told.

    Attributes:
        comparison: What was measured.
        standings: What follows from it.
        day: The date, year first.
        quick: Whether it was the short run.
    """

    comparison: Comparison
    standings: Sequence[Standing]
    day: str
    quick: bool

    def table(self) -> str:
        """Return plain tables, medians with min..max, and who won each column."""
        calls = [standing for standing in self.standings if standing.column.unit == "x"]
        starts = [standing for standing in self.standings if standing.column.unit != "x"]
        won = "\n".join(_outcome(standing) for standing in self.standings)
        return "\n\n".join((self._part(calls), self._part(starts), won))

    def markdown(self) -> str:
        """Return the block of the README, marks included."""
        by_key = {standing.column.key: standing for standing in self.standings}
        lines = [f"| {' | '.join(_HEADS)} |", "|" + "---|" * len(_HEADS)]
        for name in self._order():
            if name in self.comparison.missing:
                cells = [self.comparison.missing[name]] + [""] * (len(_CELLS) - 1)
            else:
                cells = [" / ".join(_median(by_key[key], name) for key in keys) for keys in _CELLS]
            lines.append(f"| {TITLES[name]} | {' | '.join(cells)} |")
        return "\n".join(("<!-- peers -->", *lines, "", self.circumstances(), "<!-- /peers -->", ""))

    def circumstances(self) -> str:
        """Return what a reader needs to judge the figures: date, versions, command, and how steady they are."""
        versions = ", ".join(dict.fromkeys(f"{PACKAGES[name]} {said}" for name, said in self._versions()))
        words = (
            f"{self.day}, {platform.python_implementation()} {platform.python_version()}; {versions}. `{COMMAND}"
            f"{' --quick' if self.quick else ''}`: medians of {len(self.comparison.turns[OWN])} interleaved rounds. "
            "x is CPU of the client process as a ratio to raw httpx in the same round (for throughput: wall time, more "
            "is better); seconds of CPU and memory are those of a fresh process. The round farthest from its median "
            f"is usually {self._usual_spread():.0%} away."
        )
        return textwrap.fill(words, 120, break_on_hyphens=False, break_long_words=False)

    def json(self) -> bytes:
        """Return everything, every round included."""
        columns = [
            asdict(standing.column) | {
                "figures": {name: asdict(figure) for name, figure in standing.figures.items()},
                "yardstick_us": None if standing.yardstick is None else asdict(standing.yardstick),
                "winner": standing.winner, "next": standing.next, "margin": standing.margin,
                "beaten_by": list(standing.beaten_by),
            }
            for standing in self.standings
        ]  # fmt: skip
        report = {
            "schema": "loomwire/bench-peers/1", "day": self.day, "python": platform.python_version(),
            "quick": self.quick, "columns": columns, **asdict(self.comparison),
        }  # fmt: skip
        return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"

    def exit_code(self) -> int:
        """Return 1 when a peer was better in a judged column, 3 when somebody could not take part, else 0."""
        if any(standing.lost for standing in self.standings):
            return 1
        return 3 if self.comparison.missing else 0

    def _order(self) -> list[ClientName]:
        return [name for name in TITLES if name in self.comparison.turns or name in self.comparison.missing]

    def _versions(self) -> list[tuple[ClientName, str]]:
        return [(name, self.comparison.versions[name]) for name in TITLES if name in self.comparison.versions]

    def _part(self, part: Sequence[Standing]) -> str:
        head = ("client", *(standing.column.title for standing in part))
        rows = [head, *(self._row(name, part) for name in self._order())]
        widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(len(head))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows
        ]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join(lines)

    def _row(self, name: ClientName, part: Sequence[Standing]) -> tuple[str, ...]:
        if name in self.comparison.missing:
            return (TITLES[name], self.comparison.missing[name])
        return (TITLES[name], *(_with_spread(standing, name) for standing in part))

    def _usual_spread(self) -> float:
        return Spread.of(
            [
                max(figure.high / figure.median - 1, 1 - figure.low / figure.median)
                for standing in self.standings
                for figure in standing.figures.values()
            ]
        ).median


def _outcome(standing: Standing) -> str:
    column, winner = standing.column, standing.winner
    words = f"{column.title}: {TITLES[winner]} {_median(standing, winner)}"
    if standing.next is not None:
        words += f", then {TITLES[standing.next]} {_median(standing, standing.next)} ({standing.margin:.1f} times)"
    return f"LOST  {words}" if standing.lost else f"      {words}"


def _median(standing: Standing, name: ClientName) -> str:
    if name == YARDSTICK and standing.yardstick is not None:
        return f"1 = {_digits(standing.yardstick.median)} us" if not standing.column.more_is_better else "1"
    return f"{_digits(standing.figures[name].median)}{_UNITS[standing.column.unit]}"


def _with_spread(standing: Standing, name: ClientName) -> str:
    if name == YARDSTICK and standing.yardstick is not None:
        return _median(standing, name)
    figure = standing.figures[name]
    return f"{_median(standing, name)} {_digits(figure.low)}..{_digits(figure.high)}"


_UNITS: Mapping[str, str] = {"x": "x", "s": " s", "MiB": " MiB"}


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
