"""The one table of what is measured and how good it must be. The only numbers of the benchmark typed in by hand.

Bars and goals are those of the design (first bar, goal). A missed bar fails the benchmark; a goal is what is next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Unit: TypeAlias = Literal["x", "s", "ms", "us", "MiB", "KiB", "B", "", "%"]
"""x is a ratio to raw httpx in the same run; times are CPU times of the process unless the name says wall."""

WORSE = 1.25
"""A ratio above its baseline times this fails the benchmark."""


REFERENCE_US = 480
"""What a sequential call of raw httpx took where the design's bars in ms and us come from."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        key: Its name in JSON and in the baseline.
        title: Its name for readers.
        unit: What the figure counts.
        bar: What must be reached, or None for a line that only informs.
        goal: What is aimed at, or None.
        more_is_better: Whether a higher figure is the better one.
        in_baseline: Its ratio is kept and compared. Not for wall times and wake-ups, which a busy machine spoils, nor
            for figures around zero. What is noise of 20,000 calls' memory is below 15 bytes a call.
    """

    key: str
    title: str
    unit: Unit
    bar: float | None = None
    goal: float | None = None
    more_is_better: bool = False
    in_baseline: bool = True


ROWS: tuple[Row, ...] = (
    Row("sequential", "sequential call", "x", 0.70, 0.40),
    Row("history", "call with 40 messages and 20 tools", "x", 1.0, 0.6),
    Row("throughput", "64 concurrent calls, throughput (wall)", "x", 4.0, 8.0, more_is_better=True, in_baseline=False),
    Row("concurrent", "64 concurrent calls, CPU per call", "x"),
    Row("burst", "bursts of 64 calls, CPU per call", "x"),
    Row("chunk", "streamed chunk to a typed event", "x", 1.2, 0.7),
    Row("slow_chunk", "streamed chunk, arriving alone", "x", in_baseline=False),
    Row("first", "first event, wall, over raw httpx", "ms", 0.3, 0.1, in_baseline=False),
    Row("layers", "own layers without I/O, per call", "us", 40, 20),
    Row("layers_stream", "own layers without I/O, stream of 20", "us"),
    Row("breaker", "circuit: let through and book", "us", 2.0, 1.5),
    Row("limiter", "limiter: take and give back, uncontended", "us", 3.0, 2.0),
    Row("fail_fast", "failing while all circuits are open, p99", "ms", 1.0, 0.3, in_baseline=False),
    Row("resolve", "resolve by name", "us", 1.0, 0.3),
    Row("scale", "call cost, 1,000 clients over 10", "", 1.05, 1.05, in_baseline=False),
    Row("imported", "import loomwire", "ms", 60, 35),
    Row("imported_rss", "import loomwire, memory", "MiB", in_baseline=False),
    Row("container", "container ready, sample config", "ms", 250, 170),
    Row("container_rss", "container ready, whole process", "MiB", 60, 50, in_baseline=False),
    Row("networked", "first networked answer on top", "ms", 150, 100),
    Row("client", "each further client", "ms", 0.5, 0.05),
    Row("client_rss", "each further client, memory", "KiB", 20, 3, in_baseline=False),
    Row("growth", "growth per call over 20,000 calls", "B", 50, 15, in_baseline=False),
    Row("growth_objects", "objects kept per call", "", in_baseline=False),
    Row("reuse_sequential", "connection reuse, 1,000 calls", "%", 95, 99, more_is_better=True, in_baseline=False),
    Row("reuse_demo", "connection reuse, demo workload", "%", 70, 90, more_is_better=True, in_baseline=False),
)

TAKEN_FROM: Mapping[str, tuple[str, ...]] = {
    "throughput": ("concurrent",),
    "scale": ("few_clients", "many_clients"),
    "imported_rss": ("bare", "imported"),
    "container_rss": ("container",),
    "client": ("further_clients",),
    "client_rss": ("further_clients",),
    "growth_objects": ("growth",),
}
"""The measurements of those rows that are not made of the one of their own name."""
