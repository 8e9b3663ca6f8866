"""`loomwire models`: what is configured, what is known of it, and who says so. No network."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loomwire.cli.output import json_flag, json_text

if TYPE_CHECKING:
    from loomwire.domain.capabilities import ModelCapabilities, Source
    from loomwire.domain.config import LLMConfig, Snapshot
    from loomwire.domain.ports.client import ILLMClientFactory
    from loomwire.domain.pricing import Prices
    from loomwire.domain.values import JSON

ABILITIES = ("tools", "vision", "streaming", "json_mode", "json_schema", "system_message", "reasoning")
SAID_BY = {"yaml": "your configuration", "provider": "what loomwire knows of the provider"}
_PICO = 1_000_000
_LABEL = 12
_NARROW, _WIDE = 24, 120


@dataclass(frozen=True, slots=True)
class Row:
    """One configured model.

    Attributes:
        name: Its name in the configuration.
        model: It, with what the provider's row knows filled in.
        clients: Who asks it.
        free: Who says that it costs nothing; `unknown` when nobody does.
    """

    name: str
    model: LLMConfig
    clients: tuple[str, ...]
    free: Source


@click.group()
def models() -> None:
    """Look at the models of a configuration."""


@models.command(name="list", short_help="What each can do and costs, and who says so.")
@click.option("--config", type=click.Path(path_type=Path), default=Path("config"), help="The configuration folder.")
@json_flag
def list_models(config: Path, *, as_json: bool) -> None:
    """List every configured model: who uses it, what it can do and costs, and who says so. No network.

    Exit code 0, or 3 when there is no valid configuration. What nobody says is unknown, never no or 0.
    """
    from loomwire.cli.output import show_json

    rows = list(_rows(config))
    if as_json:
        facts: list[JSON] = [*map(_facts, rows)]
        show_json({"schema": "loomwire/models/1", "config": str(config), "models": facts})
        return
    width = max(_NARROW, min(shutil.get_terminal_size().columns, _WIDE))
    for row in rows:
        _show(row, width)
    said = {source for row in rows for source in (*row.model.capabilities.sources.values(), row.free)}
    legend = [f"{source} = {meaning}" for source, meaning in SAID_BY.items() if source in said]
    count = f"{len(rows)} model{'' if len(rows) == 1 else 's'} in {config}"
    click.echo(textwrap.fill("; ".join([count, *legend]), width, break_on_hyphens=False), err=True)


def _rows(config: Path) -> Iterator[Row]:
    # Not a container: it would build every client, and import the network for that.
    from loomwire.container.wiring import Wiring

    wiring = Wiring(config_root=config)
    snapshot: Snapshot = wiring.snapshot()
    factory: ILLMClientFactory = wiring.client_factory()
    asked = [(client, _name(target, snapshot)) for client, target in _targets(snapshot)]
    for name, written in sorted(snapshot.models.items()):
        # As on replay: a list asks nobody, so it needs no key.
        model = factory.resolved(replace(written, replay=""))
        free: Source = "yaml" if written.free else "provider" if model.free else "unknown"
        yield Row(name, model, tuple(client for client, asks in asked if asks == name), free)


def _targets(snapshot: Snapshot) -> Iterator[tuple[str, LLMConfig]]:
    for name, client in sorted(snapshot.clients.items()):
        yield from ((name, target) for target in client.targets)


def _name(target: LLMConfig, snapshot: Snapshot) -> str:
    """Return what a client's target is called: it is the very model, or one with what only the client says of it."""
    known = snapshot.models.items()
    same = (name for name, model in known if target is model)
    alike = (name for name, model in known if _as_in(target, model) == model)
    return next(chain(same, alike))


def _as_in(target: LLMConfig, model: LLMConfig) -> LLMConfig:
    """Return a client's target without times, bounds and recordings of the client's own."""
    return replace(target, timeouts=model.timeouts, limits=model.limits, replay=model.replay, recorded=model.recorded)


def _facts(row: Row) -> dict[str, JSON]:
    model, known = row.model, row.model.capabilities
    priced: JSON = None if model.prices is None else {"unit": "USD per million tokens", **_prices(model.prices)}
    return {
        "name": row.name,
        "provider": model.name,
        "type": model.type,
        "model": model.model,
        "clients": [*row.clients],
        "capabilities": {word: _said(known, f"supports_{word}") for word in ABILITIES},
        "context_window": _said(known, "context_window"),
        "max_tokens": _said(known, "max_tokens"),
        "custom": _said(known, "custom_capabilities"),
        "free": {"value": model.free or None, "source": row.free},
        "prices": {"value": priced, "source": "unknown" if priced is None else "yaml"},
        "parameters": _parameters(model),
        "tags": sorted(model.tags),
    }


def _said(known: ModelCapabilities, fact: str) -> dict[str, JSON]:
    return {"value": getattr(known, fact), "source": known.source(fact)}


def _prices(prices: Prices) -> dict[str, JSON]:
    # As text: a float would not be the price that stands in the YAML.
    return {kind.removesuffix("_pico"): _usd(pico) for kind, pico in asdict(prices).items()}


def _usd(pico: int) -> str:
    return f"{(Decimal(pico) / _PICO).normalize():f}"


def _parameters(model: LLMConfig) -> dict[str, JSON]:
    return {name: value for name, value in asdict(model.parameters).items() if value not in (None, ())}


def _show(row: Row, width: int) -> None:
    model, known = row.model, row.model.capabilities
    facts = {
        "asks": f"{model.model} at {model.name}" + (f" (type {model.type})" if model.type != model.name else ""),
        "clients": ", ".join(row.clients) or "none",
        "can": _able(known, able=True),
        "cannot": _able(known, able=False),
        "not known": ", ".join(word for word in ABILITIES if getattr(known, f"supports_{word}") is None),
        "custom": _listed(known.custom_capabilities),
        "context": _tokens(known, "context_window"),
        "max output": _tokens(known, "max_tokens"),
        "price": _price(model, row.free),
        "parameters": _listed(_parameters(model)),
        "tags": ", ".join(sorted(model.tags)),
    }
    click.echo(click.style(row.name, bold=True))
    for label, fact in facts.items():
        if fact:
            _line(label, fact, width)
    click.echo()


def _line(label: str, fact: str, width: int) -> None:
    lines = textwrap.wrap(fact, width - _LABEL - 2, break_long_words=False, break_on_hyphens=False)
    head = "  " + click.style(f"{label:<{_LABEL}}", dim=True)
    click.echo(head + f"\n{'':{_LABEL + 2}}".join(lines))


def _able(known: ModelCapabilities, *, able: bool) -> str:
    """Return abilities by who says so: `tools, vision (yaml), json_mode (provider)`."""
    said: dict[Source, list[str]] = {}
    for word in ABILITIES:
        if getattr(known, f"supports_{word}") is able:
            said.setdefault(known.source(f"supports_{word}"), []).append(word)
    return ", ".join(f"{', '.join(words)} ({source})" for source, words in said.items())


def _tokens(known: ModelCapabilities, fact: str) -> str:
    value: int | None = getattr(known, fact)
    return "unknown" if value is None else f"{value:,} tokens ({known.source(fact)})"


def _listed(values: Mapping[str, JSON]) -> str:
    """Return free values as `name value, name value`, the value as JSON unless it is a word."""
    shown = {word: value if isinstance(value, str) else json_text(value) for word, value in values.items()}
    return ", ".join(f"{word} {value}" for word, value in shown.items())


def _price(model: LLMConfig, free: Source) -> str:
    if model.free:
        return f"free ({free})"
    if model.prices is None:
        return "unknown"
    parts = [f"{usd} {kind.replace('_', ' ')}" for kind, usd in _prices(model.prices).items()]
    return f"{', '.join(parts)}; USD per million tokens (yaml)"
