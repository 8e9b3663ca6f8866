from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from loomwire import LLMContainer
from loomwire.cli.operating.memory import show, size
from loomwire.domain.caching.policies import MemoryPolicy
from loomwire.domain.values import JSON
from support.commands import loomwire
from support.memory import StagedProbe
from support.operating import Running, configured

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1.44 * MIB, "1.4 MiB"),
        (200 * MIB, "200 MiB"),
        (3 * MIB * MIB, "3.0 TiB"),
        (-5 * MIB, "-5.0 MiB"),
        (None, "unknown"),
    ],
)
def test_bytes_read_as_people_say_them(value: float | None, said: str) -> None:
    assert size(value) == said


def test_a_process_says_its_level_its_limit_and_who_holds_what(running: Running) -> None:
    with running.container.memory.track_memory_usage("report", 3 * MIB):
        ran = loomwire("memory", running.config)
    title, level, *table = ran.out.splitlines()
    assert (ran.code, ran.err, title.partition(" (")[0]) == (0, "", f"process {os.getpid()}")
    assert level.startswith("  normal for ")
    assert " of " in level
    assert table[0].split() == ["holds", "most", "of", "its", "size", "what"]
    assert table[-2].split() == ["3.0", "MiB", "3.0", "MiB", "report", "(1", "open)"]
    assert max(map(len, ran.out.splitlines())) <= 80


def test_changes_and_what_was_done_are_told_latest_first(running: Running) -> None:
    running.container.memory.adapt(MemoryPolicy(limit_bytes=MIB))
    ran = loomwire("memory", running.config)
    assert ran.out.splitlines()[1].startswith("  critical for ")
    assert "of 1.0 MiB (memory.limit)" in ran.out
    lines = [line for line in ran.out.splitlines() if " ago: " in line]
    assert any("normal became critical at " in line for line in lines)
    assert any("freed memory went back to the system: " in line for line in lines)


def test_a_process_at_which_nobody_looks_again_and_again_says_so(running: Running) -> None:
    idle = "  nobody looks before the first call, and after the container was closed"
    assert loomwire("memory", running.config).out.splitlines()[-1] == idle
    running.container.memory.start()
    assert idle not in loomwire("memory", running.config).out


def test_a_process_that_cannot_be_looked_at_says_so(tmp_path: Path) -> None:
    probe = StagedProbe(broken=OSError())
    with LLMContainer.open(configured(tmp_path), overrides={"memory_probe": probe}):
        lines = loomwire("memory", tmp_path).out.splitlines()
    assert lines[1].startswith("  normal for ")
    assert lines[2] == "  1 of 1 looks failed"


def test_caches_are_told_with_the_share_of_their_size_that_they_have(capsys: pytest.CaptureFixture[str]) -> None:
    told: Mapping[str, JSON] = {"level": "soft", "holders": [{"name": "caches", "held_bytes": MIB, "share": 0.5}]}
    show(told)
    assert capsys.readouterr().out.splitlines()[2].split() == ["1.0", "MiB", "50.0%", "caches"]


def test_the_report_is_json_too(running: Running) -> None:
    told = json.loads(loomwire("memory", running.config, "--json").out)
    (process,) = told["processes"]
    assert (told["schema"], process["pid"]) == ("loomwire/memory-report/1", os.getpid())
    assert process["memory"]["looks"] == 1


def test_without_a_process_there_is_nobody_to_ask(idle: Path) -> None:
    assert loomwire("memory", idle).code == 6
