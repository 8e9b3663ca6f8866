"""dev.py: its words, its stamp, and one clear line for what goes wrong. Installing itself is what CI does."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dev

ROOT = Path(__file__).resolve().parents[2]

PIP_WORDS = [
    ("/usr/bin/python3: No module named pip", "this Python has no pip"),
    ("no such option: --python", "22.3 or newer"),
    ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n    Expected", "not the one that was pinned"),
    (
        "WARNING: Retrying\nERROR: Could not find a version that fits\nERROR: No matching distribution found for x==1",
        "No matching distribution found for x==1; is the network there",
    ),
    ("ERROR: [Errno 28] No space left on device\n", "No space left on device"),
    ("", "it said nothing"),
]


def run_dev(*words: str) -> tuple[int, str, str]:
    """Run dev.py with words that need no environment; return exit code, stdout and stderr."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "dev.py"), *words], capture_output=True, encoding="utf-8", check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_help_names_every_command() -> None:
    code, words, _ = run_dev("--help")
    assert code == 0
    assert [name for name in dev.COMMANDS if f"python3 dev.py {name}" not in words] == []


@pytest.mark.parametrize("words", [(), ("frobnicate",), ("check", "src"), ("setup", "--all")])
def test_words_it_does_not_know_end_with_one_line_on_stderr_and_exit_code_2(words: tuple[str, ...]) -> None:
    code, out, err = run_dev(*words)
    assert (code, out) == (2, "")
    assert err.startswith("dev.py: ")
    assert err.count("\n") == 1


def test_it_stands_on_the_standard_library_and_stays_below_400_lines() -> None:
    text = (ROOT / "dev.py").read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    nodes = list(ast.walk(ast.parse(text)))
    imported = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module).split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
    assert imported - sys.stdlib_module_names == set()


@pytest.mark.parametrize(("output", "line"), PIP_WORDS)
def test_a_failed_install_is_told_in_one_line(output: str, line: str) -> None:
    said = dev.why_pip_failed(output)
    assert line in said
    assert "\n" not in said


def test_the_levels_have_different_digests_that_stay_the_same() -> None:
    assert dev.digest("core") == dev.digest("core") != dev.digest("dev")


def test_a_python_that_lacks_a_module_is_noticed() -> None:
    assert dev.python_finds(["json"])
    assert not dev.python_finds(["json", "no_such_module_of_ours"])


def test_children_find_the_environment_first_and_no_stray_python_path() -> None:
    environment = dev.child_environment()
    assert environment["PATH"].startswith(str(dev.BIN))
    assert "PYTHONPATH" not in environment


def test_a_signal_is_told_as_a_shell_would() -> None:
    assert dev.run([sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"]) == 128 + 15


def test_check_runs_lint_types_and_architecture() -> None:
    assert {name for name, _ in dev.CHECKS} == {"mypy", "pyright", "ruff check", "ruff format", "import-linter"}
