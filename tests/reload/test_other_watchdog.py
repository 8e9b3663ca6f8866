"""The same scenarios on the older watchdog that we support, from a folder that is found before our environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import loomwire
from tools.second_watchdog import FOLDER, SETUP, is_ready

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = Path(__file__).parent / "test_scenarios.py"


@pytest.mark.full
@pytest.mark.timeout(240)
def test_every_scenario_passes_on_watchdog_6_as_well(record_property: Callable[[str, object], None]) -> None:
    if not is_ready():
        pytest.skip(f"watchdog 6 is not installed as it is pinned: {SETUP}")
    source = Path(loomwire.__file__).parents[1]
    words = ("-m", "pytest", "--full", "-k", "adopted", "-p", "no:cacheprovider", "-p", "no:xdist", str(SCENARIOS))
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": f"{FOLDER}{os.pathsep}{source}"},
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    titles = [number for number, line in enumerate(lines) if "Change scenarios, watchdog 6." in line]
    assert len(titles) == 2, done.stdout
    record_property("table", ["Change scenarios in the second environment", *lines[titles[0] :]])
