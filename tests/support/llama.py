"""llama.cpp for tests: tiny models, servers of our own, and a look at their slots."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loomwire.domain.values import JSON
from loomwire.infrastructure.local.engine import Engine, start_engine
from loomwire.infrastructure.local.settings import LocalSettings
from support.folders import folder
from tools.tiny_gguf import Shape, gguf

NAMES = ("plain", "tools")
CONTEXT, PARALLEL = 4096, 4
ENDLESS: Mapping[str, JSON] = {"logit_bias": {"256": -100}}
"""Forbids the token that ends an answer, so that only the limit does."""


@dataclass(frozen=True, slots=True)
class Box:
    """Two running servers by the name of their model."""

    engines: Mapping[str, Engine]


def settings(models: Path, name: str) -> LocalSettings:
    """Return how a tiny model is served here; the same as the YAML of `configured` says."""
    return LocalSettings(model_path=str(models / f"{name}.gguf"), context=CONTEXT, parallel=PARALLEL, threads=1)


def write_models(where: Path) -> Path:
    """Write both tiny models."""
    for name in NAMES:
        (where / f"{name}.gguf").write_bytes(gguf(Shape(tools=name == "tools")))
    return where


@contextmanager
def served(models: Path) -> Generator[Box, None, None]:
    """Run both models for as long as the block takes."""
    engines = {name: start_engine(settings(models, name)) for name in NAMES}
    try:
        yield Box(engines)
    finally:
        for engine in engines.values():
            engine.stop()


def provider(kind: str, name: str, models: Path, box: Box) -> dict[str, JSON]:
    """Return the YAML of one provider."""
    if kind == "local":
        numbers: dict[str, JSON] = {"context": CONTEXT, "parallel": PARALLEL, "threads": 1}
        return {"type": "local", "model_path": str(models / f"{name}.gguf"), **numbers}
    engine = box.engines[name]
    return {
        "type": "llamacpp",
        "base_url": engine.base_url,
        "api_key": engine.key.reveal(),
        "allow_private": True,
        "free": True,
    }


def configured(where: Path, kind: str, models: Path, box: Box, **extra: JSON) -> Path:
    """Write YAML with the clients plain, tools, endless (never ends by itself) and return its folder.

    They keep nothing: a question that is asked twice is answered twice by the engine.
    """
    providers: dict[str, JSON] = {name: {**provider(kind, name, models, box), **extra} for name in NAMES}
    described: dict[str, JSON] = {name: {"provider": name, "model": name} for name in NAMES}
    described["endless"] = {"provider": "plain", "model": "plain", "extra": dict(ENDLESS)}
    clients: dict[str, JSON] = {name: {"models": [name], "cache": {"mode": "off"}} for name in described}
    return folder(where / kind, clients=clients, providers=providers, models=described)


def busy_slots(engine: Engine) -> int:
    """Ask a server how many of its slots work. Blocks."""
    root = engine.base_url.removesuffix("/v1")
    request = urllib.request.Request(f"{root}/slots", headers={"authorization": f"Bearer {engine.key.reveal()}"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        slots = json.loads(answer.read())
    return sum(bool(slot["is_processing"]) for slot in slots)


async def slots_become(engine: Engine, count: int, within_s: float = 20.0) -> bool:
    """Wait until so many slots work; False when they do not in time."""
    for _ in range(int(within_s / 0.01)):
        if await asyncio.to_thread(busy_slots, engine) == count:
            return True
        await asyncio.sleep(0.01)
    return False
