"""The benchmark of hot reload: from a save until it is in force, and what that costs everybody else.

    python -m benchmarks reload [--quick]

Prints a table. Exit code 0 when every bar is met, 1 otherwise, 2 for wrong words.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.bars import Row
from benchmarks.edits import EDIT_S, Edits, Listener, editing
from benchmarks.figures import Figure, Spread
from benchmarks.load import Load
from benchmarks.machine import cores
from benchmarks.runs import BenchmarkError, serving
from benchmarks.table import table, wants_colour
from benchmarks.verdicts import judge
from loomwire import LLMContainer

MANY = 1000
SOME = 6
SETTLED_S = 0.5
TICK_S = 0.001

ROWS: tuple[Row, ...] = (
    Row("one_p50", "save to in force, 1 client, p50", "ms", 30, in_baseline=False),
    Row("one_p95", "save to in force, 1 client, p95", "ms", in_baseline=False),
    Row("many_p50", "save to in force, 1,000 clients, p50", "ms", 120, in_baseline=False),
    Row("many_p95", "save to in force, 1,000 clients, p95", "ms", in_baseline=False),
    Row("all_p50", "the same, all 1,000 changed, p50", "ms", in_baseline=False),
    Row("idle_p99", "event-loop lag, 1,000 clients, idle, p99", "ms", in_baseline=False),
    Row("busy_p99", "event-loop lag while they reload, p99", "ms", in_baseline=False),
    Row("stall", "event-loop stall: the latter over idle", "ms", 10, in_baseline=False),
    Row("worst", "event-loop lag while they reload, longest", "ms", in_baseline=False),
    Row("swap_p50", "reload() under load, p50", "ms", in_baseline=False),
    Row("swap_p99", "reload() under load, p99", "ms", 50, in_baseline=False),
    Row("rate", "that load, requests a second", "", 200, more_is_better=True, in_baseline=False),
    Row("failed", "its failed or wrong answers", "", 0, in_baseline=False),
)


def main(arguments: Sequence[str]) -> int:
    """Measure, print, judge; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks reload", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="fewer edits, under half a minute; wider spreads")
    quick: bool = parser.parse_args(arguments).quick
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:5.1f} s  {what}", file=sys.stderr, flush=True)

    try:
        figures = measured(say, quick=quick)
    except BenchmarkError as error:
        say(f"benchmark: {error}")
        return 1
    verdicts = judge(figures, None, ROWS)
    print(table(verdicts, colour=wants_colour(sys.stdout)))
    print("wall times; a save is a rename in the folder, of which 20 ms are waited for quiet; one client changes by it")
    if len(cores()) < 2:
        print("everything shares one core, the server of the load too")
    print(f"measured in {time.monotonic() - began:.0f} s{' (quick)' if quick else ''}")
    return int(any(verdict.failed for verdict in verdicts))


def measured(say: Callable[[str], None], *, quick: bool) -> Mapping[str, Figure]:
    """Take every measurement; figures by the keys of `ROWS`.

    Raises:
        BenchmarkError: One could not be taken.
    """

    def begin(what: str) -> None:
        # What the measurement before left, such as a container of 1,000 clients, would be collected in the middle of
        # this one: 225 ms once in some forty runs, and no cost of what is measured here.
        gc.collect()
        say(what)

    with serving(None) as port:
        begin("save to in force, 1 client")
        one = saves(port, 1, 1, 15 if quick else 60)
        begin("save to in force, 1,000 clients")
        many = saves(port, MANY, 1, 10 if quick else 40)
        begin("save to in force, 1,000 clients, all changed")
        every = saves(port, MANY, MANY, 5 if quick else 10)
        begin("event-loop lag")
        idle, busy = stalls(port, 2.0 if quick else 6.0)
        begin("reload() under load")
        swaps, load = loaded(port, 40 if quick else 200)
    return {
        **_p("one", one, 50, 95),
        **_p("many", many, 50, 95),
        **_p("all", every, 50),
        **_p("idle", idle, 99),
        **_p("busy", busy, 99),
        **_p("swap", swaps, 50, 99),
        "stall": _alone(percentile(busy, 99) - percentile(idle, 99)),
        "worst": _alone(max(busy)),
        "rate": _alone(load.asked / load.seconds),
        "failed": _alone(load.failed),
    }


def saves(port: int, clients: int, changed: int, count: int) -> list[float]:
    """Return the milliseconds of so many edits from the end of the save until the edit was in force."""
    with TemporaryDirectory(prefix="loomwire-bench-") as folder:
        edits = Edits(Path(folder), clients, port)
        with LLMContainer.open(folder) as container:
            listener = Listener(container)
            time.sleep(SETTLED_S)
            return [_one_save(edits, listener, changed) for _ in range(count)]


def _one_save(edits: Edits, listener: Listener, changed: int) -> float:
    # At any moment between two looks of the watcher.
    time.sleep(0.1 + 0.2 * random.random())
    saved = edits.save(changed)
    return (listener.in_force() - saved) * 1e3


def stalls(port: int, seconds: float) -> tuple[list[float], list[float]]:
    """Return by how many milliseconds an event loop's ticks come late: with 1,000 clients idle, and while they reload.

    The edits come from another process, as an operator's do: one changed client of 1,000, four times a second.

    Raises:
        BenchmarkError: Fewer edits than half of these were in force.
    """
    with TemporaryDirectory(prefix="loomwire-bench-") as folder:
        Edits(Path(folder), MANY, port)
        with LLMContainer.open(folder) as container:
            time.sleep(SETTLED_S)
            idle = asyncio.run(_lags(seconds))
            with editing(folder, MANY, port):
                busy = asyncio.run(_lags(seconds))
            adopted = container.configs.generation - 1
    if adopted < seconds / EDIT_S / 2:
        raise BenchmarkError(f"of the edits in {seconds:.0f} s only {adopted} came into force")
    return idle, busy


async def _lags(seconds: float) -> list[float]:
    lags: list[float] = []
    before = began = time.perf_counter()
    while before - began < seconds:
        await asyncio.sleep(TICK_S)
        now = time.perf_counter()
        lags.append((now - before - TICK_S) * 1e3)
        before = now
    return lags


def loaded(port: int, count: int) -> tuple[list[float], Load]:
    """Return the milliseconds of so many reloads while four threads and four event loops ask, and what these got."""
    with TemporaryDirectory(prefix="loomwire-bench-") as folder:
        edits = Edits(Path(folder), SOME, port)
        with LLMContainer.open(folder, watch=False) as container:
            load = Load(container)
            with load.running():
                time.sleep(SETTLED_S)
                swaps = [_one_swap(container, edits) for _ in range(count)]
    return swaps, load


def _one_swap(container: LLMContainer, edits: Edits) -> float:
    edits.save(SOME)
    began = time.perf_counter()
    outcome = container.reload().outcome
    took = (time.perf_counter() - began) * 1e3
    if outcome != "adopted":
        raise BenchmarkError(f"the benchmark's own edit was {outcome}")
    time.sleep(0.02)
    return took


def percentile(values: Sequence[float], share: int) -> float:
    """Return the value below which so many of a hundred lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]


def _p(name: str, values: Sequence[float], *shares: int) -> dict[str, Figure]:
    return {f"{name}_p{s}": Figure(Spread(percentile(values, s), min(values), max(values))) for s in shares}


def _alone(value: float) -> Figure:
    return Figure(Spread(value, value, value))
