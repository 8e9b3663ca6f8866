"""From samples to the figures of the table."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from benchmarks.machine import MIB
from benchmarks.runs import Samples

YARDSTICK: Final = "sequential"
"""The measurement whose raw httpx says how fast the machine is."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and how far the rounds lie apart."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Sum up the rounds."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured for one row.

    Attributes:
        ours: In the row's unit.
        httpx: What raw httpx took, in microseconds, for rows that compare with it.
        aiohttp: Raw aiohttp in the row's unit.
        over_aiohttp: Ours over raw aiohttp.
        ratio: What a baseline keeps: free of the machine's speed. None for rows that have none.
    """

    ours: Spread
    httpx: Spread | None = None
    aiohttp: Spread | None = None
    over_aiohttp: Spread | None = None
    ratio: float | None = None


def figures_of(samples: Samples) -> Mapping[str, Figure]:
    """Return the figure of every row."""
    yardstick = statistics.median(_column(samples, YARDSTICK, "httpx", "cpu"))

    def alone(measure: str, field: str, scale: float) -> Figure:
        ours = _spread(samples, measure, "ours", field, scale)
        # Divided by a call of raw httpx in the same run, so that a slower machine is no regression.
        return Figure(ours, ratio=ours.median / scale / yardstick if field == "cpu" else None)

    compared = {
        name: _compared(samples, name)
        for name in ("sequential", "history", "concurrent", "burst", "chunk", "slow_chunk")
    }
    bare = statistics.median(_column(samples, "bare", "ours", "resident"))
    held = [(resident - bare) / MIB for resident in _column(samples, "imported", "ours", "resident")]
    return compared | {
        "throughput": _throughput(samples),
        "first": _first(samples),
        "layers": alone("layers", "cpu", 1e6),
        "layers_stream": alone("layers_stream", "cpu", 1e6),
        "breaker": alone("breaker", "cpu", 1e6),
        "limiter": alone("limiter", "cpu", 1e6),
        "fail_fast": alone("fail_fast", "cpu", 1e3),
        "resolve": alone("resolve", "cpu", 1e6),
        "scale": _scale(samples),
        "imported": alone("imported", "cpu", 1e3),
        "imported_rss": Figure(Spread.of(held)),
        "container": alone("container", "cpu", 1e3),
        "container_rss": alone("container", "resident", 1 / MIB),
        "networked": alone("networked", "cpu", 1e3),
        "client": alone("further_clients", "cpu", 1e3),
        "client_rss": alone("further_clients", "bytes", 1 / 1024),
        "growth": alone("growth", "bytes", 1.0),
        "growth_objects": alone("growth", "objects", 1.0),
        "reuse_sequential": alone("reuse_sequential", "share", 100.0),
        "reuse_demo": alone("reuse_demo", "share", 100.0),
    }


def _compared(samples: Samples, measure: str) -> Figure:
    ours, httpx, aiohttp = (_column(samples, measure, client, "cpu") for client in ("ours", "httpx", "aiohttp"))
    ratio = Spread.of(_pairs(ours, httpx, lambda a, b: a / b))
    return Figure(
        ratio,
        Spread.of([seconds * 1e6 for seconds in httpx]),
        Spread.of(_pairs(aiohttp, httpx, lambda a, b: a / b)),
        Spread.of(_pairs(ours, aiohttp, lambda a, b: a / b)),
        ratio.median,
    )


def _throughput(samples: Samples) -> Figure:
    ours, httpx, aiohttp = (_column(samples, "concurrent", client, "wall") for client in ("ours", "httpx", "aiohttp"))
    return Figure(
        Spread.of(_pairs(httpx, ours, lambda a, b: a / b)),
        Spread.of([seconds * 1e6 for seconds in httpx]),
        Spread.of(_pairs(httpx, aiohttp, lambda a, b: a / b)),
        Spread.of(_pairs(aiohttp, ours, lambda a, b: a / b)),
    )


def _first(samples: Samples) -> Figure:
    ours, httpx, aiohttp = (_column(samples, "first", client, "wall") for client in ("ours", "httpx", "aiohttp"))
    return Figure(
        Spread.of(_pairs(ours, httpx, lambda a, b: (a - b) * 1e3)),
        Spread.of([seconds * 1e6 for seconds in httpx]),
        Spread.of(_pairs(aiohttp, httpx, lambda a, b: (a - b) * 1e3)),
        Spread.of(_pairs(ours, aiohttp, lambda a, b: a / b)),
    )


def _scale(samples: Samples) -> Figure:
    few, many = (_column(samples, name, "ours", "cpu") for name in ("few_clients", "many_clients"))
    pairs = Spread.of(_pairs(many, few, lambda a, b: a / b))
    # A bar of 5 % lies within what a busy machine does to either figure: growth that is real shows in both.
    return Figure(Spread(min(pairs.median, min(many) / min(few)), pairs.low, pairs.high))


def _pairs(ours: Sequence[float], theirs: Sequence[float], combine: Callable[[float, float], float]) -> list[float]:
    # Round by round, because the two were measured side by side.
    return [combine(mine, other) for mine, other in zip(ours, theirs, strict=True)]


def _column(samples: Samples, measure: str, client: str, field: str) -> list[float]:
    return [figures[field] for figures in samples[measure][client]]


def _spread(samples: Samples, measure: str, client: str, field: str, scale: float) -> Spread:
    return Spread.of([value * scale for value in _column(samples, measure, client, field)])
