"""A package of somebody else brings a provider type: installed, found by its name, and held to our public contract."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "examples" / "packages" / "loomwire-echo"

pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the package beside everything else, without a network, and return where."""
    where = tmp_path_factory.mktemp("installed")
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--no-compile", "--quiet", "--target", str(where))
    code, said = run(None, PACKAGE, "pip", "install", *offline, str(PACKAGE))
    assert code == 0, said
    return where


def run(installed: Path | None, folder: Path, *words: str) -> tuple[int, str]:
    """Run a module with the installed package on the path."""
    env = {**os.environ, "PYTHONWARNINGS": "error", "PYTHONPATH": "" if installed is None else str(installed)}
    env = {**env, "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1", "COLUMNS": "120"}
    command = [sys.executable, "-m", *words]
    if words[0] == "pip":
        env.pop("PYTHONWARNINGS")
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, encoding="utf-8", check=False)
    return done.returncode, done.stdout + done.stderr


def configured(folder: Path, type_: str = "echo") -> Path:
    """Write a configuration that names a type."""
    settings = {
        "version": 1,
        "providers": {"canyon": {"type": type_, "api_key": "k"}},
        "models": {"deep": {"provider": "canyon", "model": "canyon-1"}},
        "clients": {"caller": {"models": ["deep"]}},
    }
    (folder / "loomwire.yaml").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def test_the_package_passes_its_own_tests_with_our_contract_and_faults(installed: Path, tmp_path: Path) -> None:
    words = ("pytest", "-q", "-p", "no:cacheprovider", "-c", str(PACKAGE / "pyproject.toml"), str(PACKAGE / "tests"))
    code, said = run(installed, tmp_path, *words, "--rootdir", str(PACKAGE))
    assert code == 0, said
    assert "skipped" not in said


def test_its_code_passes_mypy_strict(installed: Path, tmp_path: Path) -> None:
    words = ("mypy", "--strict", "--cache-dir", str(tmp_path), "-p", "loomwire_echo")
    code, said = run(installed, tmp_path, *words)
    assert code == 0, said
    code, said = run(installed, tmp_path, *words[:4], str(PACKAGE / "tests" / "test_echo.py"))
    assert code == 0, said


def test_the_commands_name_the_package(installed: Path, tmp_path: Path) -> None:
    config = str(configured(tmp_path))
    code, said = run(installed, tmp_path, "loomwire", "check", config)
    assert code == 0, said
    assert "echo (of loomwire-echo 1.0)" in said
    code, said = run(installed, tmp_path, "loomwire", "models", "list", "--config", config)
    assert code == 0, said
    assert "type echo of loomwire-echo 1.0" in said
    code, said = run(installed, tmp_path, "loomwire", "schema")
    assert '"echo"' in said


def test_a_wrong_type_is_answered_with_those_there_are_and_their_packages(installed: Path, tmp_path: Path) -> None:
    code, said = run(installed, tmp_path, "loomwire", "check", str(configured(tmp_path, "zzz")))
    assert code == 3
    assert "echo (of loomwire-echo 1.0)" in said
    code, said = run(None, tmp_path, "loomwire", "check", str(configured(tmp_path)))
    assert code == 3
    assert "there is no provider type" in said


def test_a_package_that_is_only_installed_is_not_imported(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(
        "import sys\n"
        "from loomwire import LLMConfig, LLMContainer\n"
        "rule = LLMConfig(type='rule', model='m', options={'rules': [{'default': True, 'answer': 'x'}]})\n"
        "with LLMContainer.of({'a': rule}):\n"
        "    print([name for name in sys.modules if 'echo' in name])\n",
        encoding="utf-8",
    )
    code, said = run(installed, tmp_path, "probe")
    assert (code, said.strip()) == (0, "[]")
