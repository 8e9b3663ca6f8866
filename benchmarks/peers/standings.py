"""From turns to standings: every contender's figure in every column, who won it, and whether ours lost one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.clients.adapter import ClientName
from benchmarks.figures import Spread
from benchmarks.machine import MIB
from benchmarks.peers.comparison import Turn


@dataclass(frozen=True, slots=True)
class Column:
    """What is compared.

    Attributes:
        key: Its name in JSON.
        title: Its name for readers.
        measure: Whose figures it shows.
        field: Which of them.
        unit: x is the ratio to raw httpx in the same round, s are seconds of CPU.
        judged: Whether the comparison fails when a peer is better than ours.
        more_is_better: Whether a higher figure is the better one.
    """

    key: str
    title: str
    measure: str
    field: str = "cpu"
    unit: Literal["x", "s", "MiB"] = "x"
    judged: bool = False
    more_is_better: bool = False


COLUMNS: tuple[Column, ...] = (
    Column("sequential", "sequential call", "sequential", judged=True),
    Column("concurrent", "64 at once, CPU", "concurrent", judged=True),
    Column("throughput", "64 at once, throughput", "concurrent", "wall", more_is_better=True),
    Column("chunk", "streamed chunk", "chunk", judged=True),
    Column("history", "40 messages, 20 tools", "history", judged=True),
    Column("import", "import", "start", unit="s"),
    Column("import_rss", "import, memory", "start", "resident", unit="MiB"),
    Column("ready", "first answer", "ready", unit="s"),
    Column("ready_rss", "first answer, memory", "ready", "resident", unit="MiB"),
)
OWN: ClientName = "ours"
YARDSTICK: ClientName = "httpx"
# Bare HTTP clients: they do less, so they are shown and win nothing.
BARE: frozenset[ClientName] = frozenset({"httpx", "aiohttp"})


@dataclass(frozen=True, slots=True)
class Standing:
    """One column.

    Attributes:
        column: The column.
        figures: Every contender's figure.
        yardstick: What raw httpx took, in microseconds, for ratios.
        winner: The best of ours and the peers.
        next: The best of the others, or None when there is none.
        margin: How many times better the winner is than the next, in the middle of the rounds.
        beaten_by: The peers that were better than ours.
    """

    column: Column
    figures: Mapping[ClientName, Spread]
    yardstick: Spread | None
    winner: ClientName
    next: ClientName | None
    margin: float
    beaten_by: Sequence[ClientName]

    @property
    def lost(self) -> bool:
        """Whether this column fails the comparison."""
        return self.column.judged and bool(self.beaten_by)


def standings(turns: Mapping[ClientName, Sequence[Turn]]) -> list[Standing]:
    """Return every column's standing."""
    return [_standing(column, turns) for column in COLUMNS]


def _standing(column: Column, turns: Mapping[ClientName, Sequence[Turn]]) -> Standing:
    taken = {name: [turn[column.measure][column.field] for turn in rounds] for name, rounds in turns.items()}
    figures = {name: Spread.of(_shown(column, values, taken[YARDSTICK])) for name, values in taken.items()}

    def worse(one: ClientName, other: ClientName) -> float:
        # Round by round, because the two were measured side by side; above 1 when `one` is the worse.
        return Spread.of(_pairs(taken[one], taken[other], lambda a, b: a / b)).median

    ranked = sorted((name for name in taken if name not in BARE), key=lambda name: _rank(column, figures[name]))
    following = ranked[1] if len(ranked) > 1 else None
    return Standing(
        column,
        figures,
        Spread.of([seconds * 1e6 for seconds in taken[YARDSTICK]]) if column.unit == "x" else None,
        ranked[0],
        following,
        1.0 if following is None else worse(following, ranked[0]),
        [name for name in ranked if name != OWN and worse(name, OWN) < 1],
    )


def _shown(column: Column, values: Sequence[float], yardstick: Sequence[float]) -> list[float]:
    match column.unit:
        case "x" if column.more_is_better:
            return _pairs(yardstick, values, lambda a, b: a / b)
        case "x":
            return _pairs(values, yardstick, lambda a, b: a / b)
        case "MiB":
            return [value / MIB for value in values]
        case _:
            return list(values)


def _rank(column: Column, figure: Spread) -> float:
    return -figure.median if column.more_is_better else figure.median


def _pairs(ours: Sequence[float], theirs: Sequence[float], combine: Callable[[float, float], float]) -> list[float]:
    return [combine(mine, other) for mine, other in zip(ours, theirs, strict=True)]
