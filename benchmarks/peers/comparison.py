"""Measures every contender beside the others: the same server, the same cores, turn by turn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import msgspec

from benchmarks.clients.adapter import ClientName
from benchmarks.machine import server_and_client_core
from benchmarks.peers.contenders import CONTENDERS, Contender
from benchmarks.peers.environments import Environments, NotInstalledError
from benchmarks.runs import ENVIRONMENT, BenchmarkError, printed_by, serving
from benchmarks.worker import Figures
from dev import MISLEADING, last_line

# Measurement: calls per turn in full and with --quick. Many at once come last: a pool of 64 connections that stays
# behind makes each later call of raw httpx a third dearer.
COUNTS: Mapping[str, tuple[int, int]] = {
    "sequential": (300, 120), "chunk": (20, 6), "history": (100, 30), "concurrent": (384, 128),
}  # fmt: skip
ROUNDS = (5, 2)
# What would send a call elsewhere, or let a library do more or less than it does for a user who only installed it.
_SETTINGS = ("OPENAI_", "LITELLM_", "LANGCHAIN_", "LANGSMITH_", "ANY_LLM_", "PYDANTIC_AI_", "LOGFIRE_", "OTEL_")
# LiteLLM's own switch: without it `import litellm` fetches its price list over the network.
_OFFLINE = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}

_TURN = "from benchmarks.peers.turn import main; main()"

Turn: TypeAlias = Mapping[str, Figures]
"""Figures of one process by measurement; `start` is the import, `ready` all up to the first answer."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was measured.

    Attributes:
        turns: The figures of all who took part.
        versions: Their versions, by contender.
        missing: Why a contender did not take part, by contender.
    """

    turns: Mapping[ClientName, Sequence[Turn]]
    versions: Mapping[ClientName, str]
    missing: Mapping[ClientName, str]


@dataclass(frozen=True, slots=True)
class Admitted:
    """Who takes part: their Pythons and versions, and why the others do not."""

    pythons: dict[ClientName, Path] = field(default_factory=dict)
    versions: dict[ClientName, str] = field(default_factory=dict)
    missing: dict[ClientName, str] = field(default_factory=dict)


def environment_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a contender's process inherits: nothing that configures a library, a proxy or another Python."""
    kept = {
        name: value
        for name, value in environ.items()
        if not (name.upper().startswith(_SETTINGS) or name.upper().endswith("_PROXY") or name in MISLEADING)
    }
    return kept | _OFFLINE


def compare(say: Callable[[str], None], environments: Environments, *, quick: bool) -> Comparison:
    """Install what is missing, probe everybody once, and measure those who can do the work.

    Raises:
        BenchmarkError: One of our own three cannot do the work, or somebody failed while being measured.
    """
    environ = environment_of(ENVIRONMENT)
    which = 1 if quick else 0
    counts = {measure: sizes[which] for measure, sizes in COUNTS.items()}

    def run(command: list[str]) -> str:
        # The last line, because nobody knows what a library prints.
        return printed_by(command, environ).rstrip().rpartition("\n")[2]

    server_core, core = server_and_client_core()
    with serving(server_core) as port:
        ready = admit(CONTENDERS, environments, say, run, port)
        present = [contender for contender in CONTENDERS if contender.name in ready.versions]
        turns: dict[ClientName, list[Turn]] = {contender.name: [] for contender in present}
        for number in range(ROUNDS[which]):
            say(f"round {number + 1} of {ROUNDS[which]}: {len(present)} clients")
            # Nobody is always the first: whoever follows a pause finds a cooler machine.
            shift = number % len(present)
            for contender in present[shift:] + present[:shift]:
                words = turn_words(contender, port, core, counts)
                printed = run([str(ready.pythons[contender.name]), *words])
                turns[contender.name].append(msgspec.json.decode(printed, type=dict[str, Figures]))
    return Comparison(turns, ready.versions, ready.missing)


def turn_words(contender: Contender, port: int, core: int | None, counts: Mapping[str, int]) -> list[str]:
    """Return what a Python must be told to take a turn."""
    task = msgspec.json.encode({"client": contender.name, "port": port, "counts": counts}).decode()
    return ["-c", _TURN, contender.module, "" if core is None else str(core), task]


def admit(
    contenders: Sequence[Contender],
    environments: Environments,
    say: Callable[[str], None],
    run: Callable[[list[str]], str],
    port: int,
) -> Admitted:
    """Find out who can take part, in which version, by having everybody do the work once.

    Raises:
        BenchmarkError: One of those that need no environment of their own cannot.
    """
    admitted = Admitted()
    for contender in contenders:
        words = msgspec.json.encode([contender.name, port, contender.package]).decode()
        try:
            place = contender.environment
            python = Path(sys.executable) if place is None else environments.python_of(place)
            version = run([str(python), "-m", "benchmarks.peers.probe", words])
        except NotInstalledError as error:
            say(f"{contender.title} is not installed: {error}")
            admitted.missing[contender.name] = "not installed"
        except BenchmarkError as error:
            if contender.environment is None:
                raise
            say(f"{contender.title} cannot do the work: {last_line(str(error))}")
            admitted.missing[contender.name] = "cannot do the work"
        else:
            admitted.pythons[contender.name], admitted.versions[contender.name] = python, version
    return admitted
