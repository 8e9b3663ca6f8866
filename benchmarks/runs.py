"""Runs the measurements: the server, and every client in turn, each measurement in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import msgspec

from benchmarks.clients.adapter import ClientName
from benchmarks.configuration import NAMED, write_config
from benchmarks.machine import server_and_client_core
from benchmarks.worker import Figures, Task

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 90
# As installed: without kept bytecode every start-up would be billed for compiling the whole source.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
FURTHER = 1000
ALL: tuple[ClientName, ...] = ("httpx", "aiohttp", "ours")

Samples: TypeAlias = Mapping[str, Mapping[str, Sequence[Figures]]]
"""Figures by measurement, client and round. The rounds of a measurement belong together, client by client."""

_Argv: TypeAlias = list[str]


class BenchmarkError(Exception):
    """A measurement could not be taken."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How often one measurement is taken: (rounds, calls per round) in full and with --quick."""

    measure: str
    full: tuple[int, int]
    quick: tuple[int, int]
    clients: tuple[ClientName, ...] = ("ours",)


PLANS: tuple[Plan, ...] = (
    Plan("sequential", (9, 400), (3, 250), ALL),
    Plan("history", (7, 200), (3, 100), ALL),
    Plan("concurrent", (7, 640), (3, 256), ALL),
    Plan("burst", (5, 640), (2, 256), ALL),
    Plan("chunk", (9, 40), (3, 25), ALL),
    Plan("slow_chunk", (5, 6), (1, 4), ALL),
    Plan("first", (7, 50), (3, 30), ALL),
    Plan("layers", (7, 5000), (3, 3000)),
    Plan("layers_stream", (3, 2000), (1, 1000)),
    Plan("breaker", (5, 100_000), (2, 50_000)),
    Plan("limiter", (5, 100_000), (2, 50_000)),
    Plan("fail_fast", (3, 5000), (1, 2000)),
    Plan("resolve", (3, 100_000), (1, 50_000)),
    Plan("few_clients", (7, 600), (5, 300)),
    Plan("many_clients", (7, 600), (5, 300)),
    Plan("growth", (2, 20_000), (1, 20_000)),
    Plan("reuse_sequential", (1, 1000), (1, 1000)),
    Plan("reuse_demo", (1, 10), (1, 10)),
)
# Measurements that are compared with each other take turns.
TOGETHER: Mapping[str, str] = {"few_clients": "many_clients"}
STARTUPS: Mapping[str, tuple[int, int]] = {
    "bare": (5, 2), "imported": (9, 3), "container": (7, 3), "networked": (7, 2), "further_clients": (3, 1),
}  # fmt: skip


@contextmanager
def serving(core: int | None) -> Iterator[int]:
    """Run the loopback server and give its port."""
    argv = [sys.executable, "-m", "benchmarks.server", *([] if core is None else [str(core)])]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            line = server.stdout.readline() if server.stdout else ""
            if not line.strip().isdigit():
                raise BenchmarkError("the benchmark's server did not start")
            yield int(line)
        finally:
            server.kill()


def child(argv: _Argv, python: Path | None = None) -> Figures:
    """Run one measuring process and return its figures.

    Args:
        argv: What Python is told.
        python: Another environment's Python, which finds our source all the same; None for this one.
    """
    environment = ENVIRONMENT if python is None else {**ENVIRONMENT, "PYTHONPATH": str(ROOT / "src")}
    return msgspec.json.decode(printed_by([str(python or sys.executable), *argv], environment), type=dict[str, float])


def printed_by(command: _Argv, environment: Mapping[str, str]) -> str:
    """Run a measuring process in the project's folder and return what it printed.

    Raises:
        BenchmarkError: It failed or took too long.
    """
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{' '.join(command[1:])} took longer than {PATIENCE_S} s") from None
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command[1:])} failed:\n{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def measure_all(
    *,
    quick: bool,
    say: Callable[[str], None],
    core: Path,
    only: AbstractSet[str] | None = None,
    before: Samples | None = None,
) -> Samples:
    """Take every measurement.

    Args:
        quick: Fewer rounds.
        say: Told what is being measured.
        core: The Python whose start-up is measured: one that has what a user has.
        only: Take these alone.
        before: What was taken before, to which the new rounds are added.

    Raises:
        BenchmarkError: One could not be taken; the message says which and why.
    """
    samples = {
        measure: {client: list(rounds) for client, rounds in by_client.items()}
        for measure, by_client in (before or {}).items()
    }
    server_core, client_core = server_and_client_core()
    with serving(server_core) as port:
        for plans in _turns():
            if only is not None and only.isdisjoint(plan.measure for plan in plans):
                continue
            say(" and ".join(plan.measure for plan in plans))
            _take(plans, samples, port, client_core, quick=quick)
        startups = [name for name in STARTUPS if only is None or name in only]
        if startups:
            say("start-up")
            _start_up(startups, samples, port, core, quick=quick)
    return samples


def _turns() -> Iterator[tuple[Plan, ...]]:
    by_name = {plan.measure: plan for plan in PLANS}
    for plan in PLANS:
        if plan.measure in TOGETHER:
            yield plan, by_name[TOGETHER[plan.measure]]
        elif plan.measure not in TOGETHER.values():
            yield (plan,)


def _take(
    plans: Sequence[Plan], samples: dict[str, dict[str, list[Figures]]], port: int, core: int | None, *, quick: bool
) -> None:
    rounds, _ = plans[0].quick if quick else plans[0].full
    turns = [(plan, client) for plan in plans for client in plan.clients]
    for number in range(rounds):
        # Nobody is always the first: whoever follows a pause finds a cooler machine.
        shift = number % len(turns)
        for plan, client in turns[shift:] + turns[:shift]:
            _, count = plan.quick if quick else plan.full
            task = Task(client, plan.measure, port, count, core)
            figures = child(["-m", "benchmarks.worker", msgspec.json.encode(asdict(task)).decode()])
            samples.setdefault(plan.measure, {}).setdefault(client, []).append(figures)


def _start_up(
    names: Sequence[str],
    samples: dict[str, dict[str, list[Figures]]],
    port: int,
    python: Path,
    *,
    quick: bool,
) -> None:
    with TemporaryDirectory(prefix="loomwire-bench-") as folder:
        few, many = Path(folder) / "few", Path(folder) / "many"
        for place, clients in ((few, NAMED), (many, NAMED + FURTHER)):
            place.mkdir()
            write_config(place, port, clients)
        words: Mapping[str, _Argv] = {
            "bare": [],
            "imported": [],
            "container": [str(ROOT / "config")],
            "networked": [str(ROOT / "config"), str(few)],
            "further_clients": [str(few), str(many), str(FURTHER)],
        }
        for name in names:
            argv = words[name]
            code = ["-c", f"from benchmarks.startup import {name}; {name}()", *argv]
            child(code, python)  # the first run compiles modules and fills the file cache
            rounds = STARTUPS[name][1 if quick else 0]
            taken = samples.setdefault(name, {}).setdefault("ours", [])
            taken += [child(code, python) for _ in range(rounds)]
