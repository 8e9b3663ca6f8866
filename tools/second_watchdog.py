"""Installs the older watchdog that we support into a folder of its own, for the tests that run on both.

Run it in the project's environment: `.venv/bin/python tools/second_watchdog.py`, as `dev.py setup --full` does. It
changes nothing when the folder is as it is pinned. Exit codes: 0 it is there, 1 it is not and one line on stderr says
why.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

PINS = Path(__file__).resolve().parent.parent / "requirements" / "watchdog6.txt"
# In our environment, so that it goes when that is made anew.
FOLDER = Path(sys.prefix, "watchdog6")
SETUP = "python3 dev.py setup --full"


def is_ready(folder: Path = FOLDER, pins: Path = PINS) -> bool:
    """Tell whether the folder holds what is pinned now; it does not look at the files."""
    try:
        return (folder / "stamp").read_text(encoding="ascii") == _digest(pins)
    except (OSError, ValueError):
        return False


def install(folder: Path = FOLDER, pins: Path = PINS) -> str:
    """Put what is pinned into the folder, nothing but what the hashes name; return "", or why that failed."""
    shutil.rmtree(folder, ignore_errors=True)
    words = ("install", "--quiet", "--no-deps", "--require-hashes", "--target", str(folder), "-r", str(pins))
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", check=False,
    )  # fmt: skip
    if done.returncode:
        # What an earlier or a half-done install left must not be found by a test.
        shutil.rmtree(folder, ignore_errors=True)
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        return (lines or ["pip said nothing"])[-1]
    # Last, so that an install that was cut short is never taken for a whole one.
    (folder / "stamp").write_text(_digest(pins), encoding="ascii")
    return ""


def main(folder: Path = FOLDER, pins: Path = PINS) -> int:
    """Install what is missing and return the exit code."""
    if is_ready(folder, pins):
        return 0
    print("watchdog 6: installing it beside ours ...", file=sys.stderr, flush=True)
    why = install(folder, pins)
    if why:
        print(f"watchdog 6: not installed ({why}); its tests are skipped; again: {SETUP}", file=sys.stderr)
    return int(bool(why))


def _digest(pins: Path) -> str:
    return hashlib.sha256(pins.read_bytes()).hexdigest()


if __name__ == "__main__":
    raise SystemExit(main())
