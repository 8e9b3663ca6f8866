"""Completion as a shell does it: the real bash sources the script and is asked what it would offer."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from loomwire.domain.values import JSON
from support.commands import environment, process
from support.folders import REPOSITORY, folder

BASH = shutil.which("bash")
ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_loomwire_completion loomwire
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder with a `loomwire` of this environment, as a shell finds it."""
    script = tmp_path / "bin" / "loomwire"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m loomwire "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return script.parent


def offered(path: Path, *words: str | Path, cwd: Path = REPOSITORY) -> list[str]:
    """Return what bash would show for the last word."""
    assert BASH is not None
    sourced = path / "completion.bash"
    sourced.write_text(process("completion", "bash").out, encoding="utf-8")
    env = environment(PATH=f"{path}:/usr/bin:/bin")
    command = [BASH, "--norc", "-c", ASK, "bash", str(sourced), "loomwire", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=cwd, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.skipif(BASH is None, reason="no bash on this machine")
def test_bash_offers_commands_clients_and_codes(path: Path, tmp_path: Path) -> None:
    clients: dict[str, JSON] = {"one": {"models": ["helper"]}, "other": {"models": ["helper"]}}
    folder(tmp_path / "config", clients=clients)
    assert offered(path, "ch") == ["check"]
    assert offered(path, "ask", "o", cwd=tmp_path) == ["one", "other"]
    assert offered(path, "explain", "RAT00")[0] == "RAT001"
    assert offered(path, "ask", "x", cwd=tmp_path) == []


@pytest.mark.skipif(BASH is None, reason="no bash on this machine")
def test_bash_is_offered_nothing_and_told_nothing_when_the_configuration_is_broken(path: Path, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "loomwire.yaml").write_text("clients: {a: [\n", encoding="utf-8")
    assert offered(path, "ask", "", cwd=tmp_path) == []


def test_the_script_is_printed_on_stdout_alone() -> None:
    ran = process("completion", "zsh")
    assert ran.out.startswith("#compdef loomwire")
    assert (ran.code, ran.err) == (0, "")


def test_completing_a_client_imports_no_network_and_no_pydantic() -> None:
    code = (
        "import sys; from click.shell_completion import ShellComplete; from loomwire.cli.main import cli;"
        "ShellComplete(cli, {}, 'loomwire', '_X').get_completions(['ask', '--config', 'config'], 'p');"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), cwd=REPOSITORY, check=True
    )
    loaded = set(done.stdout.split())
    assert "yaml" in loaded
    assert not loaded & {"aiohttp", "httpx", "pydantic", "dependency_injector", "asyncio"}
