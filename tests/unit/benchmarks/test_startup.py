"""Start-up is measured where only the core requirements are installed."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.peers.environments import CORE_PINS, Environments, core_python
from benchmarks.runs import ROOT, child

SHOW = "import json, loomwire, os; print(json.dumps({loomwire.__file__: 1.0, os.environ.get('PYTHONPATH', ''): 2.0}))"


def environments(folder: Path, outcome: tuple[int, str], said: list[str]) -> Environments:
    """Return environments in a new folder with pins called `core`, whose installer ends as told."""
    (folder / "core.txt").write_text("any==1.0\n", encoding="utf-8")
    return Environments(said.append, folder / "places", folder, lambda *_: outcome)


def test_it_is_an_environment_of_its_own(tmp_path: Path) -> None:
    said: list[str] = []
    python = core_python(environments(tmp_path, (0, ""), said))
    assert python.is_relative_to(tmp_path / "places" / "core")
    assert python.exists()


def test_without_a_registry_it_is_ours_and_that_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    assert core_python(environments(tmp_path, (1, "ERROR: no space left"), said)) == Path(sys.executable)
    assert said[-1].startswith("start-up is measured with the development requirements, so it is dearer: ")


def test_another_python_finds_our_source(tmp_path: Path) -> None:
    shown = child(["-c", SHOW], Path(sys.executable))
    assert shown == {str(ROOT / "src" / "loomwire" / "__init__.py"): 1.0, str(ROOT / "src"): 2.0}


def test_the_core_requirements_bring_nothing_that_dependency_injector_would_import_for_its_wiring() -> None:
    pinned = {line.split("==")[0] for line in (CORE_PINS / "core.txt").read_text(encoding="utf-8").splitlines()}
    assert "dependency-injector" in pinned
    assert not pinned & {"fastapi", "starlette", "fast-depends", "faststream", "flask", "werkzeug"}
