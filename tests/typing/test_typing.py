"""The types a host sees, judged by mypy and by pyright: what must pass passes, and exactly the marked lines fail.

`ok_*.py` and `fail_*.py` are never run. A line that must fail ends in `# E:` and mypy's word for the error.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typing_extensions import TypedDict

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GOOD = sorted(HERE.glob("ok_*.py"))
BAD = sorted(HERE.glob("fail_*.py"))
MARK = re.compile(r"# E: ([a-z-]+)$")

pytestmark = pytest.mark.timeout(180)  # a checker without its cache reads all of src


class Place(TypedDict):
    line: int


class Range(TypedDict):
    start: Place


class MypyError(TypedDict):
    file: str
    line: int
    code: str
    severity: str


class PyrightError(TypedDict):
    file: str
    severity: str
    range: Range


class PyrightSummary(TypedDict):
    filesAnalyzed: int


class PyrightReport(TypedDict):
    generalDiagnostics: list[PyrightError]
    summary: PyrightSummary


def output_of(*command: str) -> str:
    """Return what a checker printed; 0 and 1 are its exit codes for a run that took place."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def mypy_errors() -> dict[Path, dict[int, str]]:
    """By file and line, what mypy says with the settings of the repository."""
    found: dict[Path, dict[int, str]] = {}
    for printed in output_of("mypy", "--output=json", *map(str, (*GOOD, *BAD))).splitlines():
        error: MypyError = json.loads(printed)
        if error["severity"] == "error":
            lines = found.setdefault((ROOT / error["file"]).resolve(), {})
            lines[error["line"]] = " ".join(filter(None, (lines.get(error["line"]), error["code"])))
    return found


@pytest.fixture(scope="module")
def pyright_errors(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, set[int]]:
    """By file, the lines of which pyright complains with the settings of the repository."""
    config = tmp_path_factory.mktemp("pyright") / "pyrightconfig.json"
    # The repository's own run leaves out what must fail; pyright takes relative paths only.
    examples = [os.path.relpath(path, config.parent) for path in (*GOOD, *BAD)]
    settings = {"extends": str(ROOT / "pyrightconfig.json"), "include": examples, "exclude": ["**/__pycache__"]}
    config.write_text(json.dumps(settings), encoding="utf-8")
    report: PyrightReport = json.loads(output_of("pyright", "--outputjson", "-p", str(config)))
    assert report["summary"]["filesAnalyzed"] == len(examples)
    found: dict[Path, set[int]] = {}
    for error in report["generalDiagnostics"]:
        found.setdefault(Path(error["file"]).resolve(), set()).add(error["range"]["start"]["line"] + 1)
    return found


def marked(path: Path) -> dict[int, str]:
    """Return the lines of a file that must fail, with mypy's word for each."""
    marks = ((at, MARK.search(line)) for at, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1))
    return {at: mark[1] for at, mark in marks if mark}


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_mypy_and_pyright_infer_what_the_examples_say(
    path: Path, mypy_errors: dict[Path, dict[int, str]], pyright_errors: dict[Path, set[int]]
) -> None:
    assert "assert_type" in path.read_text(encoding="utf-8")
    assert mypy_errors.get(path, {}) == {}
    assert pyright_errors.get(path, set()) == set()


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_mypy_and_pyright_refuse_exactly_the_marked_lines(
    path: Path, mypy_errors: dict[Path, dict[int, str]], pyright_errors: dict[Path, set[int]]
) -> None:
    marks = marked(path)
    assert marks
    assert mypy_errors.get(path, {}) == marks
    assert pyright_errors.get(path, set()) == set(marks)


@pytest.mark.parametrize("path", GOOD + BAD, ids=lambda path: path.stem)
def test_no_example_silences_a_checker(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"type: ignore|pyright:|cast\(|\bAny\b", text)
