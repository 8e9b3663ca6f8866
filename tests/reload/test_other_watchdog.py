"""The same scenarios on the older watchdog that we support, from a folder that is found before our environment."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import loomwire

ROOT = Path(__file__).resolve().parents[2]
PINS = ROOT / "requirements" / "watchdog6.txt"
SCENARIOS = Path(__file__).parent / "test_scenarios.py"


def installed(folder: Path) -> Path:
    """Return the folder with the pinned watchdog 6, which is installed when it is not there as it is pinned now."""
    stamp, wanted = folder / "stamp", hashlib.sha256(PINS.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text(encoding="ascii") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        words = ("install", "--quiet", "--no-deps", "--require-hashes", "--target", str(folder), "-r", str(PINS))
        done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, encoding="utf-8", check=False)
        if done.returncode:
            pytest.skip(f"watchdog 6 cannot be installed: {done.stderr.strip().splitlines()[-1]}")
        stamp.write_text(wanted, encoding="ascii")
    return folder


@pytest.mark.full
@pytest.mark.timeout(240)
def test_every_scenario_passes_on_watchdog_6_as_well(
    pytestconfig: pytest.Config, record_property: Callable[[str, object], None]
) -> None:
    cache = pytestconfig.cache
    assert cache is not None
    folder = installed(cache.mkdir("watchdog6") / "installed")
    source = Path(loomwire.__file__).parents[1]
    words = ("-m", "pytest", "--full", "-k", "adopted", "-p", "no:cacheprovider", "-p", "no:xdist", str(SCENARIOS))
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{source}"},
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    titles = [number for number, line in enumerate(lines) if "Change scenarios, watchdog 6." in line]
    assert len(titles) == 2, done.stdout
    record_property("table", ["Change scenarios in the second environment", *lines[titles[0] :]])
