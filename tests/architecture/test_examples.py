"""Every example in a docstring of src runs and prints what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from sybil import Sybil
from sybil.document import PythonDocStringDocument
from sybil.parsers.rest import DocTestParser, PythonCodeBlockParser

SOURCE = Path(__file__).resolve().parents[2] / "src" / "loomwire"
READER = Sybil(
    parsers=[DocTestParser(), PythonCodeBlockParser()],
    document_types={".py": PythonDocStringDocument},
    path=str(SOURCE),
)


def failures(path: Path) -> list[str]:
    """Run the examples of one module, in order and in one namespace; return what went wrong."""
    found = []
    for example in READER.parse(path):
        try:
            example.evaluate()
        except Exception as error:  # noqa: BLE001 - an example may raise anything, and every failure shall be listed
            found.append(f"{path.name}:{example.line}: {error}")
    return found


def test_every_example_in_a_docstring_runs() -> None:
    wrong = [line for path in sorted(SOURCE.rglob("*.py")) for line in failures(path)]
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def test_an_example_that_is_wrong_is_noticed(tmp_path: Path) -> None:
    module = tmp_path / "wrong.py"
    module.write_text('def f() -> None:\n    """Add.\n\n    >>> 1 + 1\n    3\n    """\n', encoding="utf-8")
    assert len(failures(module)) == 1
