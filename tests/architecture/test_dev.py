"""dev.py: its words, its stamp, and one clear line for what goes wrong. Installing itself is what CI does;
here a stand-in does it, in a project of nothing.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
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


@pytest.mark.parametrize("asked", ["--help", "-h", "help", "check --help", "setup -h"])
def test_help_names_every_command(asked: str) -> None:
    code, words, _ = run_dev(*asked.split())
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


def test_a_command_it_does_not_know_is_repeated() -> None:
    assert "'frobnicate'" in run_dev("frobnicate")[2]


def test_children_find_the_environment_first_and_no_stray_python_path() -> None:
    environment = dev.child_environment()
    assert environment["PATH"].startswith(str(dev.BIN))
    assert "PYTHONPATH" not in environment


def test_a_signal_is_told_as_a_shell_would() -> None:
    assert dev.run([sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"]) == 128 + 15


def test_check_runs_lint_types_and_architecture() -> None:
    assert {name for name, _ in dev.CHECKS} == {"mypy", "pyright", "ruff check", "ruff format", "import-linter"}


FAKE_UV = """#!{python}
import json, pathlib, subprocess, sys, time
words, home = sys.argv[1:], pathlib.Path({home!r})
with (home / "calls").open("a") as calls:
    print(json.dumps(words), file=calls)
while not (home / "go").exists():
    time.sleep(0.01)
venv_python = words[words.index("--python") + 1]
ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
place = subprocess.check_output([venv_python, "-c", ask], text=True)
for name in {modules!r}:
    module = pathlib.Path(place.strip()) / name
    module.mkdir(exist_ok=True)
    (module / "__init__.py").touch()
    (module / "__main__.py").write_text("print('the demo ran')")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a tiny project with our dev.py, and an installer that waits for a file `go` and needs no network."""
    folder = tmp_path / "a project"
    (folder / "requirements").mkdir(parents=True)
    (folder / "dev.py").write_bytes((ROOT / "dev.py").read_bytes())
    (folder / "pyproject.toml").write_text("build-system = {}\nproject = {}\ntool.hatch = {}\n", encoding="utf-8")
    for name in dev.FILES["dev"]:
        (folder / "requirements" / name).touch()
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(FAKE_UV.format(python=sys.executable, home=str(tmp_path), modules=dev.PROBES["core"]))
    uv.chmod(0o755)
    return folder


@contextmanager
def started(project: Path) -> Generator[subprocess.Popen[str]]:
    """Start `dev.py demo` in a tiny project, and end it whatever happens."""
    path = os.pathsep.join((str(project.parent / "bin"), os.environ["PATH"]))
    with subprocess.Popen(
        [sys.executable, str(project / "dev.py"), "demo"],
        env={**os.environ, "PATH": path}, cwd=project.parent, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    """Return the next line of a process on stderr."""
    assert process.stderr is not None
    return process.stderr.readline()


def test_two_at_once_install_once_and_the_second_waits_with_one_line(project: Path) -> None:
    with started(project) as one:
        assert "installing the core requirements" in first_line(one)
        with started(project) as two:
            assert first_line(two) == "dev.py: another dev.py is installing into .venv; waiting for it ...\n"
            (project.parent / "go").touch()
            out, err = one.communicate()
            assert (one.returncode, out) == (0, "the demo ran\n")
            assert err.startswith("dev.py: installed in ")
            assert two.communicate() == ("the demo ran\n", "")
            assert two.returncode == 0
    calls = (project.parent / "calls").read_text(encoding="utf-8")
    assert calls.count("--require-hashes") == calls.count("--no-deps") == 1


def test_the_installer_of_one_that_was_killed_is_waited_for_and_its_half_made_environment_made_anew(
    project: Path,
) -> None:
    with started(project) as one:
        assert "installing" in first_line(one)
        while not (project.parent / "calls").is_file():
            assert one.poll() is None
    with started(project) as two:
        assert "waiting" in first_line(two)
        (project.parent / "go").touch()
        out, err = two.communicate()
    assert (two.returncode, out) == (0, "the demo ran\n")
    assert "installing" in err
    with started(project) as three:
        assert three.communicate() == ("the demo ran\n", "")


def test_a_pyproject_that_is_not_toml_is_told_in_one_line(project: Path) -> None:
    (project / "pyproject.toml").write_text("[project\n", encoding="utf-8")
    with started(project) as process:
        out, err = process.communicate()
    assert (process.returncode, out) == (1, "")
    assert err.startswith("dev.py: pyproject.toml cannot be read: ")
    assert err.count("\n") == 1


def test_the_lock_is_no_file_of_the_repository() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert dev.LOCK.name in ignored
    assert dev.LOCK.parent == ROOT
