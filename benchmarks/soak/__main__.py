"""Named soaks: long runs that show how the library bears what goes wrong.

    python -m benchmarks soak [NAME ...] [--size CALLS]

Without a name it lists them. Prints the figures of each with their bars. Exit code 0 when every bar is met, 1 when one
is missed, 2 for wrong words. Figures that are times depend on the machine; `dev.py bench` measures those in peace.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

# What tests and soaks share lies with the tests.
sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))


class _Words(argparse.Namespace):
    names: list[str]
    size: int | None


def main(arguments: Sequence[str]) -> int:
    """Run what is named, print, judge; return the exit code."""
    from benchmarks.soak.figures import lines, missed
    from benchmarks.soak.scenarios import SCENARIOS
    from benchmarks.soak.stops import soaked

    parser = argparse.ArgumentParser(prog="python3 dev.py soak", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="which ones; without any they are listed")
    parser.add_argument("--size", type=int, metavar="CALLS", help="another size than the full one")
    words = parser.parse_args(arguments, _Words())
    unknown = [name for name in words.names if name not in SCENARIOS]
    if unknown:
        parser.error(f"there is no soak {unknown[0]!r}; say one of {', '.join(SCENARIOS)}")
    if not words.names:
        for name, scenario in SCENARIOS.items():
            print(f"{name:14} {scenario.size:>8,}  {scenario.says}")
        return 0
    # Opening and closing circuits is what is soaked, and not worth a line each.
    logging.getLogger("loomwire").setLevel(logging.ERROR)
    failed = False
    for name in words.names:
        scenario, began = SCENARIOS[name], time.monotonic()
        size = scenario.size if words.size is None else max(words.size, scenario.least)
        measured = asyncio.run(soaked(scenario.run, size))
        print("\n".join(lines(name, size, measured)))
        print(f"soaked in {time.monotonic() - began:.0f} s\n", flush=True)
        failed = failed or bool(missed(measured))
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
