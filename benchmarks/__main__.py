"""The benchmark: ours beside raw httpx and raw aiohttp, judged by bars and by the committed baseline.

    python -m benchmarks [--quick] [--json FILE] [--update-baseline]
    python -m benchmarks --peers [--quick] [--json FILE] [--markdown FILE]
    python -m benchmarks reload [--quick]
    python -m benchmarks dialects [--quick]
    python -m benchmarks cache [--quick] [--peers]
    python -m benchmarks soak [NAME ...]

Prints a table. Exit code 0 when every bar is met and no ratio got more than 25 % worse, 1 otherwise, 2 for wrong words.
What failed is measured once more first, and then judged by the medians of all rounds.
`--peers` compares with other libraries instead: 1 when one of them is cheaper than ours per call or per chunk, 3 when
ours is the cheapest but somebody could not take part. `reload` measures edits of the configuration
(benchmarks.reload), `dialects` the wire dialects beside each other (benchmarks.dialects), `cache` what caches save
(benchmarks.caching), `soak` does long runs (benchmarks.soak).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path

import msgspec

from benchmarks.bars import REFERENCE_US, TAKEN_FROM
from benchmarks.figures import YARDSTICK, Figure, figures_of
from benchmarks.machine import cores
from benchmarks.peers.comparison import compare
from benchmarks.peers.environments import CORE_PINS, Environments, core_python
from benchmarks.peers.report import Report
from benchmarks.peers.standings import standings
from benchmarks.runs import BenchmarkError, Samples, measure_all
from benchmarks.table import table, wants_colour
from benchmarks.verdicts import Baseline, Verdict, baseline_of, judge, read_baseline, write_baseline


def main(arguments: Sequence[str]) -> int:
    """Measure, print, judge; return the exit code."""
    if arguments and arguments[0] == "reload":
        # Here, because the other measurements need a parent without loomwire.
        from benchmarks import reload

        return reload.main(arguments[1:])
    if arguments and arguments[0] == "dialects":
        from benchmarks import dialects

        return dialects.main(arguments[1:])
    if arguments and arguments[0] == "cache":
        from benchmarks.caching import bench as caching

        return caching.main(arguments[1:])
    if arguments and arguments[0] == "soak":
        from benchmarks.soak import __main__ as soak

        return soak.main(arguments[1:])
    words = _words(arguments)
    began = time.monotonic()
    if words.peers:
        return _beside_peers(words)

    def say(what: str) -> None:
        _say(f"{time.monotonic() - began:5.1f} s  {what}")

    baseline = None if words.update_baseline else read_baseline()
    try:
        samples, figures, verdicts = _measured(say, baseline, quick=words.quick)
    except BenchmarkError as error:
        _say(f"benchmark: {error}")
        return 1
    print(table(verdicts, colour=wants_colour(sys.stdout)))
    print("\n".join(_circumstances(figures)))
    print(f"measured in {time.monotonic() - began:.0f} s{' (quick)' if words.quick else ''}")
    if words.json is not None:
        words.json.write_bytes(_report(verdicts, samples, quick=words.quick))
    failed = any(verdict.failed for verdict in verdicts)
    if words.update_baseline:
        write_baseline(baseline_of(figures))
        _say("benchmark: wrote benchmarks/baseline.json")
    return int(failed)


def _measured(
    say: Callable[[str], None], baseline: Baseline | None, *, quick: bool
) -> tuple[Samples, Mapping[str, Figure], Sequence[Verdict]]:
    core = core_python(Environments(say, pins=CORE_PINS))
    samples = measure_all(quick=quick, say=say, core=core)
    figures, verdicts = _judged(samples, baseline)
    failed = [verdict.row.key for verdict in verdicts if verdict.failed]
    if failed:
        say(f"once more, because they failed: {', '.join(failed)}")
        # With what times are compared with: a machine that is slower now is so for both.
        only = {YARDSTICK, *(measure for key in failed for measure in TAKEN_FROM.get(key, (key,)))}
        samples = measure_all(quick=quick, say=say, core=core, only=only, before=samples)
        again, judged = _judged(samples, baseline)
        # What passed stays as it was: its rounds belong to the speed that the machine had then.
        figures = {**figures, **{key: again[key] for key in failed}}
        verdicts = [new if old.failed else old for old, new in zip(verdicts, judged, strict=True)]
    return samples, figures, verdicts


def _judged(samples: Samples, baseline: Baseline | None) -> tuple[Mapping[str, Figure], Sequence[Verdict]]:
    figures = figures_of(samples)
    return figures, judge(figures, baseline, slower=max(1.0, _speed(figures) or 1.0))


def _beside_peers(words: _Words) -> int:
    began = time.monotonic()

    def say(what: str) -> None:
        _say(f"{time.monotonic() - began:5.1f} s  {what}")

    try:
        comparison = compare(say, Environments(say), quick=words.quick)
    except BenchmarkError as error:
        _say(f"benchmark: {error}")
        return 1
    report = Report(comparison, standings(comparison.turns), f"{date.today():%Y-%m-%d}", words.quick)  # noqa: DTZ011
    print(report.table())
    print(f"\n{report.circumstances()}")
    print(f"measured in {time.monotonic() - began:.0f} s")
    for path, content in ((words.json, report.json()), (words.markdown, report.markdown().encode())):
        if path is not None:
            path.write_bytes(content)
    return report.exit_code()


class _Words(argparse.Namespace):
    quick: bool
    peers: bool
    json: Path | None
    markdown: Path | None
    update_baseline: bool


def _words(arguments: Sequence[str]) -> _Words:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, under a minute; wider spreads")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures and all samples as JSON")
    parser.add_argument("--peers", action="store_true", help="compare with other libraries, installed on first use")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="with --peers: write the README's table")
    parser.add_argument(
        "--update-baseline", action="store_true", help="make this run the new baseline (not with --quick)"
    )
    words = parser.parse_args(arguments, _Words())
    if words.quick and words.update_baseline:
        parser.error("--update-baseline needs the full run: quick medians are too loose to compare with")
    if words.peers and words.update_baseline:
        parser.error("--update-baseline belongs to the run without --peers")
    if words.markdown and not words.peers:
        parser.error("--markdown writes the table of --peers")
    return words


def _circumstances(figures: Mapping[str, Figure]) -> Iterator[str]:
    yield "times are CPU times of the client process, with min..max over rounds; x is the ratio to raw httpx beside it"
    speed = _speed(figures)
    if speed is not None:
        yield f"bars in ms and us were set where raw httpx took {REFERENCE_US} us; here it takes {speed:.2f} times that"
        yield "`scaled` meets its bar only when that is taken into account"
    if len(cores()) < 2:
        yield "server and client share one core, so wall times hold the server's work too"


def _speed(figures: Mapping[str, Figure]) -> float | None:
    yardstick = figures[YARDSTICK].httpx
    return None if yardstick is None else yardstick.median / REFERENCE_US


def _report(verdicts: Sequence[Verdict], samples: Samples, *, quick: bool) -> bytes:
    rows = [
        {"key": v.row.key, "title": v.row.title, "unit": v.row.unit, "bar": v.row.bar, "goal": v.row.goal}
        | asdict(v.figure)
        | {"baseline": v.before, "verdict": v.word}
        for v in verdicts
    ]
    report = {"schema": "loomwire/bench/1", "quick": quick, "cores": len(cores()), "rows": rows, "samples": samples}
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
