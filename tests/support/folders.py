"""Configuration folders for tests of the container and the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from loomwire.domain.values import JSON

REPOSITORY = Path(__file__).parents[2]
SAMPLE = REPOSITORY / "config"


def folder(
    where: Path,
    script: Sequence[Mapping[str, JSON]] = ({"text": "Hello.", "repeat": True},),
    *,
    clients: Sequence[str] | Mapping[str, JSON] = ("planner",),
    model: Mapping[str, JSON] | None = None,
    **sections: JSON,
) -> Path:
    """Write a configuration whose clients share one scripted model, and return its folder."""
    named: Mapping[str, JSON] = (
        clients if isinstance(clients, Mapping) else {name: {"models": ["helper"]} for name in clients}
    )
    offline: Mapping[str, JSON] = {"type": "mock", "script": [*script]}
    helper: Mapping[str, JSON] = {"provider": "offline", "model": "helper", **(model or {})}
    described: dict[str, JSON] = {
        "version": 1,
        "providers": {"offline": offline},
        "models": {"helper": helper},
        "clients": named,
        **sections,
    }
    where.mkdir(parents=True, exist_ok=True)
    # JSON is YAML, and written here by machine.
    (where / "loomwire.yaml").write_text(json.dumps(described, indent=2), encoding="utf-8")
    return where


def served(where: Path, base_url: str) -> Path:
    """Write a configuration whose client `planner` asks a server on this machine once, and return its folder."""
    provider: Mapping[str, JSON] = {
        "retry": {"attempts": 1},
        "type": "custom",
        "dialect": "openai_chat",
        "base_url": base_url,
        "allow_private": True,
        "free": True,
    }
    return folder(where, providers={"local": provider}, models={"helper": {"provider": "local", "model": "m"}})
