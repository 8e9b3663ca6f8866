"""A flood of large, different answers into a cache that may hold more than the process may have."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from loomwire.domain.values import JSON
from support.commands import environment
from support.flooding import MIB, Flood
from support.folders import REPOSITORY, folder

LIMIT_MIB: Final = 200
FLOOD: Final = 400 * MIB


def flooded(
    where: Path, how: str, most_bytes: int, *, interval_s: float, taken_mib: int = 0, room_mib: int = 0
) -> Flood:
    """Flood a process of its own and return what happened."""
    memory: Mapping[str, JSON] = {"limit": f"{LIMIT_MIB}MiB", "interval": interval_s}
    cache: Mapping[str, JSON] = {"mode": "always", "l1_bytes": "2GiB"}
    config = folder(where, clients=("flooded",), memory=memory, defaults={"cache": cache})
    words = [str(config), how, str(most_bytes), str(taken_mib), str(room_mib)]
    program = REPOSITORY / "tests" / "support" / "flooding.py"
    done = subprocess.run(
        [sys.executable, str(program), *words],
        capture_output=True,
        text=True,
        env=environment(PYTHONPATH=str(REPOSITORY / "tests")),
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return Flood(**json.loads(done.stdout))


@pytest.mark.full
def test_a_flood_stays_below_the_limit_and_takes_a_fifth_less_than_without_the_manager(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    managed = flooded(tmp_path / "on", "on", FLOOD, interval_s=5)
    alone = flooded(tmp_path / "off", "off", FLOOD, interval_s=5)
    rows = [
        f"{name:<12} {flood.start_mib:>8.0f} {flood.peak_mib:>8.0f} {flood.end_mib:>8.0f} {flood.held_mib:>8.0f}"
        for name, flood in (("managed", managed), ("without", alone))
    ]
    head = f"{'MiB':<12} {'before':>8} {'peak':>8} {'after':>8} {'cached':>8}"
    request.node.user_properties.append(
        ("table", [f"a flood of {FLOOD // MIB} MiB, limit {LIMIT_MIB} MiB", head, *rows])
    )
    assert (managed.failed, managed.refused, alone.failed) == (0, {}, 0)
    assert managed.peak_mib < LIMIT_MIB < alone.peak_mib
    assert managed.peak_mib < 0.8 * alone.peak_mib


@pytest.mark.full
def test_levels_act_within_two_looks_when_the_host_takes_memory_and_no_call_in_flight_dies(tmp_path: Path) -> None:
    flood = flooded(tmp_path, "on", FLOOD, interval_s=0.25, taken_mib=70)
    assert flood.steps
    assert flood.acted_after <= 2
    assert (flood.failed, set(flood.refused) <= {"memory"}) == (0, True)
    assert flood.steps[-1][0] == "normal"


@pytest.mark.full
def test_no_call_in_flight_dies_where_the_system_gives_no_more(tmp_path: Path) -> None:
    flood = flooded(tmp_path, "on", FLOOD, interval_s=0.1, room_mib=250)
    assert (flood.failed, flood.refused) == (0, {})
    assert flood.answered_bytes >= FLOOD
