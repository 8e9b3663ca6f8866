"""The benchmark of caches: how many calls they save, and what a hit costs.

    python -m benchmarks cache [--quick] [--peers]

The workload is that of benchmarks.caching.workload: prompts by Zipf's law, a fixed seed, a server on loopback that
takes 50 ms. LiteLLM's and LangChain's in-memory caches run the same one where `bench --peers` has installed them, or
with --peers, which installs them. Prints a table. Exit code 0 when every bar is met, 1 otherwise, 2 for wrong words.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.bars import REFERENCE_US, Row
from benchmarks.caching import levels
from benchmarks.caching.server import Server, serving
from benchmarks.caching.workload import CALLS, LATENCY_S, PROMPTS, WORKERS, asked, timed
from benchmarks.figures import Figure, Spread
from benchmarks.machine import pin, server_and_client_core
from benchmarks.payloads import ANSWER
from benchmarks.peers.environments import Environments, NotInstalledError
from benchmarks.runs import ROOT, BenchmarkError
from benchmarks.table import table, wants_colour
from benchmarks.verdicts import judge
from dev import last_line
from loomwire import LLMContainer

ROWS: Final[Sequence[Row]] = (
    Row("hits", "calls that were not sent", "%", 80, more_is_better=True, in_baseline=False),
    Row("saved", "mean response time saved", "%", 30, more_is_better=True, in_baseline=False),
    Row("bare", "mean response time without cache", "ms", in_baseline=False),
    Row("cached", "mean response time with it", "ms", in_baseline=False),
    Row("litellm_hits", "LiteLLM, in memory: calls that were not sent", "%", more_is_better=True, in_baseline=False),
    Row("litellm_saved", "LiteLLM: mean response time saved", "%", more_is_better=True, in_baseline=False),
    Row("langchain-openai_hits", "LangChain, in memory: calls not sent", "%", more_is_better=True, in_baseline=False),
    Row("langchain-openai_saved", "LangChain: mean response time saved", "%", more_is_better=True, in_baseline=False),
    Row("memory", "memory hit, 2 KB prompt, key included, CPU", "us", 40, 15, in_baseline=False),
    Row("disk", "disk hit, the same (wall)", "us", 300, in_baseline=False),
    Row("redis", "Redis hit, the same, over a bare GET (wall)", "us", 150, in_baseline=False),
    Row("evict", "making room among 10,000 entries", "us", 2, 0.5, in_baseline=False),
)
PEERS: Final = ("litellm", "langchain-openai")
_Say = Callable[[str], None]


def main(arguments: Sequence[str]) -> int:
    """Measure, print, judge; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks cache", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and calls of others")
    parser.add_argument("--peers", action="store_true", help="install the other libraries where they are missing")
    words = parser.parse_args(arguments)
    quick: bool = words.quick
    peers: bool = words.peers
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:5.1f} s  {what}", file=sys.stderr, flush=True)

    server_core, core = server_and_client_core()
    pin(core)
    try:
        with serving(server_core or 0) as server, levels.redis_server() as redis:
            figures, slower = asyncio.run(_measured(server, redis, say, rounds=3 if quick else 7))
            figures |= _beside(server, say, install=peers)
    except BenchmarkError as error:
        say(f"benchmark: {error}")
        return 1
    verdicts = judge(figures, None, [row for row in ROWS if row.key in figures], slower)
    print(table(verdicts, colour=wants_colour(sys.stdout)))
    print(f"{CALLS} calls over {PROMPTS} prompts by Zipf's law, {WORKERS} at once, {LATENCY_S * 1000:.0f} ms each")
    print(f"bars in us were set where raw httpx took {REFERENCE_US} us; here it takes {slower:.2f} times that")
    print("".join(f"not measured: {row.title}\n" for row in ROWS if row.key not in figures), end="")
    print(f"measured in {time.monotonic() - began:.0f} s{' (quick)' if quick else ''}")
    return int(any(verdict.failed for verdict in verdicts))


async def _measured(server: Server, redis: str | None, say: _Say, rounds: int) -> tuple[dict[str, Figure], float]:
    found: dict[str, list[float]] = {}
    with TemporaryDirectory(prefix="loomwire-bench-") as folder:
        levels.write_config(Path(folder), server.url, redis)
        async with await asyncio.to_thread(LLMContainer.open, folder) as container:
            say("the workload, without a cache and with one")
            bare = await timed(levels.asking(container, "bare"), asked(), ANSWER)
            server.sent()
            cached = await timed(levels.asking(container, "memory"), asked(), ANSWER)
            found |= _saving("", bare, cached, server.sent())
            say("hits")
            taken = [await _round(container, redis) for _ in range(rounds)]
            found |= {key: [one[key] for one in taken] for key in taken[0]}
        slower = max(1.0, await levels.yardstick_us(server.url, 200) / REFERENCE_US)
    return {key: Figure(Spread.of(values)) for key, values in found.items()}, slower


async def _round(container: LLMContainer, redis: str | None) -> Mapping[str, float]:
    taken = {
        "memory": await levels.hit_cpu_us(container, 400),
        "disk": await levels.hit_wall_us(container, "disk", 200),
        "evict": await levels.evict_us(2000),
    }
    if redis is not None:
        bare = await levels.get_us(redis, 200)
        taken["redis"] = max(0.0, await levels.hit_wall_us(container, "redis", 200) - bare)
    return taken


def _saving(prefix: str, bare: Sequence[float], cached: Sequence[float], sent: int) -> dict[str, list[float]]:
    without, with_it = statistics.fmean(bare), statistics.fmean(cached)
    saving = {"hits": [100 * (1 - sent / len(cached))], "saved": [100 * (1 - with_it / without)]}
    if not prefix:
        saving |= {"bare": [without * 1000], "cached": [with_it * 1000]}
    return {f"{prefix}{name}": values for name, values in saving.items()}


def _beside(server: Server, say: _Say, *, install: bool) -> Mapping[str, Figure]:
    found: dict[str, list[float]] = {}
    environments = Environments(say)
    for name in PEERS:
        if not install and not (environments.folder / name).exists():
            continue
        say(f"the workload through {name}")
        try:
            python = environments.python_of(name)
            bare = _asked_by(python, name, server.url)
            server.sent()
            found |= _saving(f"{name}_", bare, _asked_by(python, name, server.url, "cached"), server.sent())
        except NotInstalledError as error:
            say(f"{name} could not take part: {error}")
    return {key: Figure(Spread.of(values)) for key, values in found.items()}


def _asked_by(python: Path, name: str, url: str, *words: str) -> list[float]:
    argv = [str(python), "-m", "benchmarks.caching.peer", name, url, str(CALLS), *words]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotInstalledError(last_line(done.stderr))
    seconds: list[float] = json.loads(done.stdout.splitlines()[-1])
    return seconds
