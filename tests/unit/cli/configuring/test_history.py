from __future__ import annotations

import json
from pathlib import Path

import pytest

from loomwire import LLMContainer
from loomwire.hosts.history import keep_history
from support.commands import loomwire
from support.folders import folder


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A folder with two generations of `config` beside it; the second has one client more."""
    config = folder(tmp_path / "config", model={"parameters": {"temperature": 0.1}})
    with LLMContainer.open(config, watch=False) as container:
        keep_history(container, config, tmp_path / "history")
        folder(config, clients=("planner", "late"), model={"parameters": {"temperature": 0.2}})
        container.reload()
    return tmp_path / "history"


def test_generations_are_listed_with_their_changes(kept: Path) -> None:
    ran = loomwire("config", "history", "--history", kept, env={"COLUMNS": "120"})
    assert (ran.code, ran.err) == (0, "")
    first, second, *changes = ran.out.splitlines()
    assert (first.split()[0], second.split()[0], first.split()[-1]) == ("1", "2", "loomwire.yaml")
    assert changes == [
        "~ models.helper.parameters.temperature: 0.1 -> 0.2",
        "    builds anew: planner, late; connections stay",
        "+ clients.late",
        "    builds late",
    ]
    assert len(loomwire("config", "history", "--history", kept, "-n", "1").out.splitlines()) == 5


def test_generations_as_json_hold_their_changes(kept: Path) -> None:
    said = json.loads(loomwire("config", "history", "--history", kept, "--json").out)
    assert said["schema"] == "loomwire/config-history/1"
    assert [entry["number"] for entry in said["generations"]] == [1, 2]
    assert [change["path"] for change in said["generations"][1]["changes"]] == [
        "models.helper.parameters.temperature",
        "clients.late",
    ]


def test_no_history_is_said(tmp_path: Path) -> None:
    ran = loomwire("config", "history", "--history", tmp_path / "none")
    assert (ran.code, ran.out) == (0, "")
    assert "no generation is kept" in ran.err
    assert loomwire("config", "history").code == 2


def test_an_earlier_generation_is_put_back(kept: Path) -> None:
    config = kept.parent / "config"
    ran = loomwire("config", "rollback", "1", "--history", kept, "--config", config)
    assert ran == (0, "", f"{config}: generation 1 is back (loomwire.yaml)\n")
    assert "late" not in (config / "loomwire.yaml").read_text(encoding="utf-8")
    said = json.loads(loomwire("config", "rollback", "2", "--history", kept, "--config", config, "--json").out)
    assert (said["schema"], said["number"], said["files"]) == ("loomwire/config-rollback/1", 2, ["loomwire.yaml"])
    assert "late" in (config / "loomwire.yaml").read_text(encoding="utf-8")


def test_a_generation_that_is_not_kept_is_a_configuration_error(kept: Path) -> None:
    ran = loomwire("config", "rollback", "9", "--history", kept, "--config", kept.parent / "config")
    assert (ran.code, ran.out) == (3, "")
    assert "there is no generation 9" in ran.err
    assert "Kept: 1, 2." in ran.err
