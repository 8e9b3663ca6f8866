"""Python processes of their own that can import the tests' support."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def run_python(*arguments: str, timeout_s: float = 50) -> str:
    """Run the interpreter and return what it prints; warnings are errors, and it must end well and say nothing else."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))}
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        capture_output=True,
        encoding="utf-8",
        env=environ,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # Every second edit is bad, and the log says so.
    said = [line for line in done.stderr.splitlines() if not line.startswith("the edit is not in force")]
    assert not said, done.stderr
    return done.stdout.strip()
