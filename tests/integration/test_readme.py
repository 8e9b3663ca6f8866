"""The README is executed: its Python, its YAML and its transcripts."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from loomwire.container.facade import LLMContainer
from loomwire.testing.script.reading import read_script

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
TIMES = re.compile(r"\d+(?:\.\d+)? m?s\b")
PRINTED = ("Lisbon", "Lisbon", "Lisbon", "PRO002 too_large\nFine. ['throttled', 'throttled', 'answered']\nUsage(")
COMMANDS = {"python3 dev.py demo": ["demo"], "loomwire check": ["check"]}


def blocks(language: str) -> list[str]:
    """Return the blocks of one language."""
    return [text for kind, text in BLOCKS if kind == language]


def run(words: list[str], folder: Path) -> str:
    """Run the command line without any key in the environment and return what a terminal would show."""
    done = subprocess.run(
        [sys.executable, "-m", "loomwire", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": "", "PYTHONIOENCODING": "utf-8"},
        encoding="utf-8",
        check=False,
    )
    return done.stdout


def test_every_block_of_the_readme_is_of_a_kind_that_is_executed_here() -> None:
    assert {kind for kind, _ in BLOCKS} == {"python", "yaml", "console"}


@pytest.mark.parametrize(("code", "printed"), list(zip(blocks("python"), PRINTED, strict=True)))
def test_the_python_of_the_readme_runs_in_the_repository(code: str, printed: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout


@pytest.mark.parametrize("text", blocks("yaml"))
def test_the_configuration_of_the_readme_is_accepted(text: str, tmp_path: Path) -> None:
    (tmp_path / "loomwire.yaml").write_text(text, encoding="utf-8")
    with LLMContainer.open(tmp_path, watch=False, overrides={"environ": {"OPENAI_API_KEY": "sk-readme"}}) as container:
        assert container.names() == tuple(sorted(yaml.safe_load(text)["clients"]))
        assert container.health().warnings == ()


def test_every_file_that_the_readme_names_is_there() -> None:
    linked = set(re.findall(r"\]\((?!https?:)([^)#\s]+)\)", README))
    named = linked | set(re.findall(r"\b(?:examples|config)/[\w./-]+\w", README))
    assert {"examples/faults.yaml", "examples/hosts/", "architecture/README.md", "config/"} <= named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_command_in_a_sentence_of_the_readme_works() -> None:
    commands = set(re.findall(r"`loomwire ([^`]+)`", README))
    assert len(commands) > 10
    for command in sorted(commands):
        words = shlex.split(command)
        # These need a process that runs, see test_control.py.
        if words[0] in ("typegen", "breaker", "cache", "memory") or words[1:2] in (["serve"], ["watch"]):
            words.append("--help")
        done = run(words, ROOT)
        assert not re.search(r"^(?:Error|error\[)", done, re.MULTILINE), f"loomwire {command}\n{done}"


def test_the_script_of_faults_among_the_examples_is_valid() -> None:
    assert len(read_script(ROOT / "examples" / "faults.yaml").rules) == 3


@pytest.mark.parametrize("transcript", blocks("console"))
def test_the_transcripts_of_the_readme_are_what_the_commands_print(transcript: str, tmp_path: Path) -> None:
    command, _, shown = transcript.partition("\n")
    command = command.removeprefix("$ ")
    if command == "python3 dev.py test":
        assert not shown
        return
    folder = ROOT
    if command == "loomwire check":
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "loomwire.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
        folder = tmp_path
    assert TIMES.sub("T s", run(COMMANDS[command], folder)).strip() == TIMES.sub("T s", shown).strip()
