"""Every way in which a configuration changes is adopted once, whole and soon."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reload import mounts
from reload.ground import Outcome, Scenario, play, watchdog_version
from reload.scenarios import SCENARIOS

AT_ONCE = 12


def all_played(scenarios: Sequence[Scenario], folder: Path, how: Callable[[Scenario, Path], Outcome]) -> list[Outcome]:
    """Play scenarios side by side, each in a folder of its own."""
    folders = [folder / f"s{number}" for number in range(len(scenarios))]
    for each in folders:
        each.mkdir()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(how, scenarios, folders))


def table(scenarios: Sequence[Scenario], outcomes: Sequence[Outcome]) -> list[str]:
    """Return what was seen as lines, the title first."""
    rows = [outcome.line(scenario) for scenario, outcome in zip(scenarios, outcomes, strict=True)]
    return [f"Change scenarios, watchdog {watchdog_version()}", *rows]


def faults(scenarios: Sequence[Scenario], outcomes: Sequence[Outcome]) -> list[str]:
    """Return what went wrong."""
    found = [outcome.fault(scenario) for scenario, outcome in zip(scenarios, outcomes, strict=True)]
    return [fault for fault in found if fault is not None]


def test_every_change_is_adopted_exactly_once_and_whole(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    outcomes = all_played(SCENARIOS, tmp_path, play)
    record_property("table", table(SCENARIOS, outcomes))
    assert faults(SCENARIOS, outcomes) == []


@pytest.mark.full
def test_every_change_that_takes_a_machine_of_its_own_is_adopted_exactly_once_and_whole(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    outcomes = all_played(mounts.SCENARIOS, tmp_path, mounts.alone)
    record_property("table", table(mounts.SCENARIOS, outcomes))
    assert faults(mounts.SCENARIOS, outcomes) == []
