"""Installs what full tests need and our environment must not have into folders of their own: a table, and pip.

The older watchdog that we support, for the tests that run on both; and an embedding model, without the 5.9 GB that it
would bring along.

Run it in the project's environment: `.venv/bin/python tools/second_watchdog.py`, as `dev.py setup --full` does. It
changes nothing when the folders are as they are pinned. Exit codes: 0 all there, 1 one is not and one line on stderr
says why.
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
MODEL_PINS = PINS.with_name("minilm.txt")
MODEL_FOLDER = FOLDER.with_name("minilm")
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


def main(folder: Path = FOLDER, pins: Path = PINS, name: str = "watchdog 6") -> int:
    """Install what is missing and return the exit code."""
    if is_ready(folder, pins):
        return 0
    print(f"{name}: installing it into a folder of its own ...", file=sys.stderr, flush=True)
    why = install(folder, pins)
    if why:
        print(f"{name}: not installed ({why}); its tests are skipped; again: {SETUP}", file=sys.stderr)
    return int(bool(why))


def _digest(pins: Path) -> str:
    return hashlib.sha256(pins.read_bytes()).hexdigest()


if __name__ == "__main__":
    raise SystemExit(main() | main(MODEL_FOLDER, MODEL_PINS, "the embedding model"))
