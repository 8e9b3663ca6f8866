"""The import contracts of pyproject.toml hold, and each kind of breach is caught in a copy of the source."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS, CHAIN, CYCLES, PURE, VENDORS = (
    "cli | web >",
    "a client layer",
    "no cycles",
    "domain and application",
    "vendor SDKs",
)

# What is broken, what is planted in the copy, and which contract must say so.
BREACHES: dict[str, tuple[dict[str, str], str]] = {
    "domain imports a third party": ({"domain/breach.py": "import httpx"}, PURE),
    "domain imports a third party for types only": (
        {"domain/breach.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pydantic"},
        PURE,
    ),
    "application imports infrastructure": ({"application/breach.py": "import loomwire.infrastructure"}, LAYERS),
    "infrastructure imports application": (
        {"infrastructure/breach.py": "def late() -> None:\n    import loomwire.application"},
        LAYERS,
    ),
    "a client layer imports another client layer": (
        {
            "application/clients/breach.py": "from loomwire.application.clients import other",
            "application/clients/other.py": "",
        },
        CHAIN,
    ),
    "a guard imports a client layer": (
        {
            "application/guards/breach.py": "import loomwire.application.clients.other",
            "application/clients/other.py": "",
        },
        CHAIN,
    ),
    "a stray top-level module": ({"breach.py": ""}, LAYERS),
    "siblings in a cycle": (
        {
            "infrastructure/breach/__init__.py": "",
            "infrastructure/breach/a.py": "import loomwire.infrastructure.breach.b",
            "infrastructure/breach/b.py": "import loomwire.infrastructure.breach.a",
        },
        CYCLES,
    ),
    "a vendor SDK": ({"infrastructure/breach.py": "def late() -> None:\n    import openai"}, VENDORS),
}


def lint(root: Path) -> tuple[int, str]:
    """Check the contracts of the tree below root, never the installed package; return exit code and words."""
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", program, "--no-logo", "--no-cache"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root / "src"), "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def verdict(words: str, contract: str) -> str:
    """Return KEPT or BROKEN for the contract whose name begins so."""
    found = re.search(rf"^{re.escape(contract)}.*?\b(KEPT|BROKEN)\b", words, re.MULTILINE | re.DOTALL)
    return found[1] if found else "not checked"


def test_the_contracts_hold() -> None:
    code, words = lint(ROOT)
    if code:
        pytest.fail(words, pytrace=False)
    assert [verdict(words, name) for name in (LAYERS, CHAIN, CYCLES, PURE, VENDORS)] == ["KEPT"] * 5


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_of_a_contract_is_caught(breach: str, tmp_path: Path) -> None:
    planted, contract = BREACHES[breach]
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    package = tmp_path / "src" / "loomwire"
    shutil.copytree(ROOT / "src" / "loomwire", package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in planted.items():
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_text(text + "\n", encoding="utf-8")

    code, words = lint(tmp_path)

    assert code == 1, words
    assert verdict(words, contract) == "BROKEN", words
    assert "breach" in words, f"the report does not name the module at fault:\n{words}"
