from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.commands import loomwire
from support.folders import SAMPLE, folder

WIDE = {"COLUMNS": "120", "KEY": "sk-very-secret"}


def edited(config: Path, where: Path, *edits: tuple[str, str]) -> Path:
    """Return a copy of a configuration with words replaced."""
    text = (config / "loomwire.yaml").read_text(encoding="utf-8")
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    where.mkdir()
    (where / "loomwire.yaml").write_text(text, encoding="utf-8")
    return where


def test_the_same_configuration_has_no_change(config: Path) -> None:
    ran = loomwire("config", "diff", config, config)
    assert ran == (0, "", "no change; of the clients in both, 0 to be built anew and 2 kept\n")
    same = loomwire("config", "diff", SAMPLE, SAMPLE / "loomwire.yaml", "--json")
    assert json.loads(same.out)["changes"] == []


def test_a_change_says_old_new_and_what_it_rebuilds(config: Path, tmp_path: Path) -> None:
    new = edited(
        config,
        tmp_path / "new",
        ("temperature: 0.2", "temperature: 0.9"),
        ("{connect: 3}", "{connect: 4}"),
        ("reader: ", "writer: "),
    )
    ran = loomwire("config", "diff", config, new, env=WIDE)
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "~ models.quick.parameters.temperature: 0.2 -> 0.9",
        "    builds anew: chat; connections stay",
        "~ models.quick.timeouts.connect: 3 -> 4 (and 1 more such)",
        "    builds anew: chat, reader, writer, and their connections",
        "- clients.reader",
        "    new calls of reader are refused, those in flight finish",
        "+ clients.writer",
        "    builds writer",
    ]
    assert ran.err == "5 changes; of the clients in both, 1 to be built anew and 0 kept\n"


def test_secrets_and_prompts_only_differ(config: Path, tmp_path: Path) -> None:
    new = edited(config, tmp_path / "new", ("${KEY}", "sk-other-secret"), ("journeys", "dinners"), ("blue", "red"))
    for words in ((), ("--json",)):
        ran = loomwire("config", "diff", config, new, *words, env=WIDE)
        assert ran.code == 0
        for text in ("sk-", "journeys", "dinners", "blue", "red-"):
            assert text not in ran.out
    lines = [line for line in loomwire("config", "diff", config, new, env=WIDE).out.splitlines() if line[0] == "~"]
    assert lines == [
        "~ providers.far.keys: changed",
        "~ providers.far.headers.x-team: changed",
        "~ clients.chat.system: changed",
    ]


def test_a_change_is_a_document(config: Path, tmp_path: Path) -> None:
    new = edited(config, tmp_path / "new", ("model: other", "model: better"))
    said = json.loads(loomwire("config", "diff", config, new, "--json", env=WIDE).out)
    assert (said["schema"], said["rebuilt"]) == ("loomwire/config-diff/1", ["reader"])
    assert said["changes"] == [
        {
            "kind": "changed",
            "path": "models.second.model",
            "old": "other",
            "new": "better",
            "hidden": False,
            "rebuilds": "clients",
            "clients": ["reader"],
        }
    ]


def test_what_nobody_asks_rebuilds_nothing(config: Path, tmp_path: Path) -> None:
    new = edited(config, tmp_path / "new", ("clients:", "  spare: {provider: far, model: spare}\nclients:"))
    ran = loomwire("config", "diff", config, new, env=WIDE)
    assert ran.out == "+ models.spare\n    no client asks it, so nothing is built anew\n"
    assert ran.err == "1 change; of the clients in both, 0 to be built anew and 2 kept\n"


def test_many_clients_are_counted(tmp_path: Path) -> None:
    old, new = (
        folder(tmp_path / name, clients=[f"c{number}" for number in range(6)], model={"model": name})
        for name in ("one", "two")
    )
    assert "builds anew: c0, c1, c2, c3 and 2 more; connections stay" in loomwire("config", "diff", old, new).out


def test_files_of_a_folder_are_compared_from_within_it(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "m.gguf").write_bytes(b"GGUF" + bytes(20))
    provider = {"here": {"type": "local", "model_path": "m.gguf"}}
    models = {"helper": {"provider": "here", "model": "m"}}
    old, new = (folder(tmp_path / name, providers=provider, models=models) for name in ("one", "two"))
    ran = loomwire("config", "diff", old, new)
    assert (ran.code, ran.out) == (0, ""), ran


def test_one_that_is_not_valid_is_not_compared(config: Path, tmp_path: Path) -> None:
    ran = loomwire("config", "diff", config, tmp_path / "nowhere")
    assert (ran.code, ran.out) == (3, "")


@pytest.mark.parametrize("columns", [40, 80])
def test_lines_fit_into_the_terminal(config: Path, tmp_path: Path, columns: int) -> None:
    new = edited(
        config, tmp_path / "new", ("temperature: 0.2", "stop: [aaaaaaaaaaaaaa, bbbbbbbbbbbbbbbbb, cccccc ddd]")
    )
    ran = loomwire("config", "diff", config, new, env={**WIDE, "COLUMNS": str(columns)})
    assert max(map(len, ran.out.splitlines())) <= columns
