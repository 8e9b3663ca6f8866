"""The documents say what the code does."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from loomwire.container.facade import LLMContainer
from loomwire.domain.faults import CODES

ROOT = Path(__file__).parents[2]
OWNER = re.findall(
    r"^\| `(\w+)` \| (?:`([\w.]+):(\w+)`)? ?\|", (ROOT / "architecture/owner-names.md").read_text(), re.MULTILINE
)


def test_the_flow_document_shows_the_chain_of_the_sample_planner() -> None:
    with LLMContainer.open(ROOT / "config", watch=False) as container:
        chain = repr(container.llm_client("planner"))
    drawn = (ROOT / "architecture/flow.md").read_text(encoding="utf-8").split("```")[1].strip()
    assert drawn == chain


@pytest.mark.parametrize(("name", "module", "attribute"), OWNER)
def test_every_name_of_the_owner_lives_where_the_document_says(name: str, module: str, attribute: str) -> None:
    if module:
        assert hasattr(import_module(module), attribute), f"{name}: {module} has no {attribute}"
    else:
        row = next(
            line for line in (ROOT / "architecture/owner-names.md").read_text().splitlines() if f"`{name}`" in line
        )
        assert "with " in row, f"{name} has no home and no plan"


def test_the_owner_names_document_is_read_whole() -> None:
    rows = [line for line in (ROOT / "architecture/owner-names.md").read_text().splitlines() if line.startswith("| `")]
    assert len(rows) == len(OWNER)


def test_every_error_code_in_the_documents_exists() -> None:
    documents = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "architecture").rglob("*.md"))]
    named = {
        code
        for document in documents
        for code in re.findall(r"\b[A-Z]{3}\d{3}\b", document.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= set(CODES)
