from __future__ import annotations

import json
from pathlib import Path

from loomwire.cli.configuring.typegen import module_text
from support import sample_clients
from support.commands import loomwire
from support.folders import SAMPLE, folder

WRITTEN = Path(sample_clients.__file__)


def test_the_module_names_the_clients_in_order(tmp_path: Path) -> None:
    ran = loomwire("typegen", "--config", folder(tmp_path, clients=("zeta", "alpha")))
    assert (ran.code, ran.err) == (0, "")
    assert 'ClientName: TypeAlias = Literal[\n    "alpha",\n    "zeta",\n]' in ran.out
    compile(ran.out, "clients.py", "exec")


def test_the_module_of_the_type_tests_is_the_one_of_the_sample() -> None:
    ran = loomwire("typegen", "--check", "--config", SAMPLE, "--out", WRITTEN)
    assert ran == (0, "", f"{WRITTEN}: 3 clients, unchanged\n")
    assert sample_clients.CLIENT_NAMES == ("planner", "reader", "storyteller")


def test_a_file_is_written_once(tmp_path: Path) -> None:
    out = tmp_path / "clients.py"
    words = ("typegen", "--config", SAMPLE, "--out", out)
    assert loomwire(*words) == (0, "", f"{out}: 3 clients, written\n")
    assert out.read_text(encoding="utf-8") == module_text(["planner", "reader", "storyteller"])
    assert loomwire(*words) == (0, "", f"{out}: 3 clients, unchanged\n")


def test_a_stale_file_is_found_and_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "clients.py"
    words = ("typegen", "--check", "--config", SAMPLE, "--out", out)
    for content in (None, b"", b"\xff"):
        if content is not None:
            out.write_bytes(content)
        ran = loomwire(*words)
        assert (ran.code, ran.out) == (1, "")
        assert f"is stale; write it with: loomwire typegen --config {SAMPLE} --out {out}" in ran.err
    assert out.read_bytes() == b"\xff"


def test_there_is_nothing_to_check_without_a_file() -> None:
    ran = loomwire("typegen", "--check", "--config", SAMPLE)
    assert (ran.code, ran.out) == (2, "")
    assert "name it with --out" in ran.err


def test_a_file_that_cannot_be_written_is_a_wrong_word(tmp_path: Path) -> None:
    ran = loomwire("typegen", "--config", SAMPLE, "--out", tmp_path / "gone" / "clients.py")
    assert (ran.code, ran.out) == (2, "")
    assert "cannot be written: No such file or directory" in ran.err


def test_json_holds_the_names_and_the_text_or_the_file(tmp_path: Path) -> None:
    said = json.loads(loomwire("typegen", "--config", SAMPLE, "--json").out)
    assert (said["schema"], said["clients"]) == ("loomwire/typegen/1", ["planner", "reader", "storyteller"])
    assert (said["text"], said["written"]) == (module_text(said["clients"]), False)
    out = tmp_path / "clients.py"
    said = json.loads(loomwire("typegen", "--config", SAMPLE, "--out", out, "--json").out)
    assert (said["out"], said["written"], "text" in said) == (str(out), True, False)
    assert json.loads(loomwire("typegen", "--config", SAMPLE, "--check", "--json", "--out", tmp_path / "x").out)[
        "message"
    ]
