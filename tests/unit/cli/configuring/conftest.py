"""A configuration in which values come from everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

TEXT = """\
version: 1
providers:
  far: {type: openai, api_key: "${KEY}", timeouts: {connect: 3}, headers: {x-team: "${TEAM:-blue}"}}
models:
  quick: {provider: far, model: gpt, parameters: {temperature: 0.2, max_tokens: 1}, limits: {body: 3MiB}}
  second: {provider: far, model: other}
clients:
  chat: {models: [quick], timeouts: {total: 30}, system: "You plan journeys; ${TONE:-briefly}."}
  reader: {models: [second]}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a folder whose key is in its `.env`."""
    root = tmp_path / "config"
    root.mkdir()
    (root / "loomwire.yaml").write_text(TEXT, encoding="utf-8")
    (root / ".env").write_text("KEY=sk-very-secret\n", encoding="utf-8")
    return root
