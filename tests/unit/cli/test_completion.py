from __future__ import annotations

from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from loomwire.cli.main import cli
from support.commands import loomwire
from support.folders import SAMPLE, folder


def offered(*words: str | Path) -> list[str]:
    """Return what a shell is offered for the last word, which may be begun or empty."""
    *before, begun = map(str, words)
    return [item.value for item in ShellComplete(cli, {}, "loomwire", "_X").get_completions(before, begun)]


def test_commands_and_options_are_offered() -> None:
    assert offered("") == [
        *("ask", "breaker", "cache", "check", "completion", "config", "demo", "explain", "health", "memory", "mock"),
        *("models", "schema", "typegen"),
    ]
    assert offered("models", "") == ["list", "probe", "refresh", "search", "show"]
    assert "--config" in offered("ask", "--c")


def test_clients_of_the_configuration_are_offered() -> None:
    assert offered("ask", "--config", SAMPLE, "") == ["planner", "reader", "storyteller"]
    assert offered("ask", "--config", SAMPLE, "st") == ["storyteller"]


def test_clients_of_one_file_and_of_several_are_offered(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("clients: {one: {models: [x]}}\n", encoding="utf-8")
    (tmp_path / "b.yml").write_text("clients:\n  two: &c {models: [x]}\n  three: *c\n", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("clients: {four: {}}\n", encoding="utf-8")
    assert offered("ask", "--config", tmp_path, "") == ["one", "three", "two"]
    assert offered("ask", "--config", tmp_path / "a.yaml", "") == ["one"]


def test_a_variable_that_is_not_set_keeps_no_name_back(tmp_path: Path) -> None:
    provider = {"type": "openai", "api_key": "${LOOMWIRE_TEST_NOT_SET}"}
    where = folder(tmp_path, providers={"far": provider}, clients=("a", "b"))
    assert loomwire("check", where).code == 3
    assert offered("ask", "--config", where, "") == ["a", "b"]


@pytest.mark.parametrize(
    "content",
    [b"", b"- a list\n", b"clients: nobody\n", b"clients:\n - x\n", b"a: [\n", b"\xff\xfe\xff", b"other: {}\n"],
)
def test_a_broken_configuration_is_silent(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "loomwire.yaml").write_bytes(content)
    assert offered("ask", "--config", tmp_path, "") == []
    assert capfd.readouterr() == ("", "")


def test_no_configuration_is_silent(tmp_path: Path) -> None:
    assert offered("ask", "--config", tmp_path / "nowhere", "") == []
    (tmp_path / "folder.yaml").mkdir()
    assert offered("ask", "--config", tmp_path, "") == []


def test_error_codes_are_offered_in_the_spelling_that_was_begun() -> None:
    assert offered("explain", "RAT0")[0] == "RAT001"
    assert offered("explain", "rat0")[0] == "rat001"
    assert offered("explain", "al") == ["all"]
    assert offered("explain", "zzz") == []


def test_keys_of_the_configuration_are_offered_level_by_level(tmp_path: Path) -> None:
    show = ("config", "show", "--config", SAMPLE)
    assert offered(*show, "cl") == ["clients"]
    assert offered(*show, "clients.") == ["clients.planner", "clients.storyteller", "clients.reader"]
    assert offered("explain", "key", "--config", SAMPLE, "models.careful.parameters.te") == [
        "models.careful.parameters.temperature"
    ]
    assert offered(*show, "clents.") == []
    assert offered("config", "show", "--config", tmp_path / "nowhere", "") == []


def test_what_can_be_explained_is_offered() -> None:
    assert offered("explain", "")[:4] == ["code", "key", "route", "all"]


def test_paths_are_the_shells_to_offer() -> None:
    items = ShellComplete(cli, {}, "loomwire", "_X").get_completions(["ask", "--config"], "con")
    assert [item.type for item in items] == ["file"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_names_the_command_and_its_protocol(shell: str) -> None:
    ran = loomwire("completion", shell)
    assert ran.code == 0
    assert f"_LOOMWIRE_COMPLETE={shell}_complete" in ran.out
    assert "loomwire" in ran.out.splitlines()[0]


def test_the_help_says_how_to_install_it_in_every_shell() -> None:
    said = loomwire("completion", "--help").out
    for line in ('eval "$(loomwire completion bash)"', 'eval "$(loomwire completion zsh)"', "completion fish | source"):
        assert f"    {line}\n" in said or f"{line}\n" in said


def test_another_shell_is_a_usage_error() -> None:
    ran = loomwire("completion", "tcsh")
    assert (ran.code, ran.out) == (2, "")
    assert "'bash', 'zsh', 'fish'" in ran.err
