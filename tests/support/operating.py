"""A process that runs on a configuration: this one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loomwire import LLMContainer
from loomwire.domain.values import JSON
from support.folders import folder

CLIENTS: Mapping[str, JSON] = {"planner": {"models": ["big", "small"]}, "lonely": {"models": ["small"]}}
"""Clients that share a model."""

MODELS: Mapping[str, JSON] = {
    "big": {"provider": "offline", "model": "big", "capabilities": {"context_window": 9000, "tools": True}},
    "small": {
        "provider": "offline",
        "model": "small",
        "emulate_tools": False,
        "capabilities": {"tools": False, "context_window": 100},
    },
}
"""One that can all, and one that can little."""


@dataclass(frozen=True)
class Running:
    """A container that can be operated, and its folder."""

    container: LLMContainer
    config: Path


def configured(where: Path) -> Path:
    """Write a configuration with two models and a control socket, and return its folder."""
    return folder(where, clients=CLIENTS, models=MODELS, control={"socket": "l.sock"})
