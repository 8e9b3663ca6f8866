"""`loomwire models show`: everything that is known of one model, each fact with who says so and when. No network."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loomwire.cli.models import facts
from loomwire.cli.models.configured import Row, head, rows, wiring_of
from loomwire.cli.output import json_flag

if TYPE_CHECKING:
    from loomwire.domain.capabilities import ModelCapabilities
    from loomwire.domain.ports.models import ModelFacts
    from loomwire.domain.pricing import Prices
    from loomwire.domain.values import JSON, Source
    from loomwire.infrastructure.catalogue.registry import ModelRegistry

_NUMBERS = ("context_window", "max_tokens")
_NEAR = 5


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a model on one provider.

    Attributes:
        title: What it is called.
        head: Who it is, by label.
        capabilities: What it can do, whoever says so.
        prices: What it costs.
        facts: What the registry says, with where it has it from.
        free: Who says that it costs nothing, or `unknown`.
        type_: The provider type it was looked up at; "" for a model of the configuration.
    """

    title: str
    head: Mapping[str, str]
    capabilities: ModelCapabilities
    prices: Prices | None
    facts: ModelFacts
    free: Source = "unknown"
    type_: str = ""


@click.command(short_help="Everything known of one model, and from where.")
@click.argument("model_id", metavar="ID")
@click.option("--config", type=click.Path(path_type=Path), default=Path("config"), help="The configuration folder.")
@json_flag
def show(model_id: str, config: Path, *, as_json: bool) -> None:
    """Show what is known of the model ID, and from where. No network.

    ID is a name of your configuration, an id of its provider, a provider type and an id such as openai/gpt-4o, or an
    id alone; for those two no configuration is needed. With a * in it, as in 'claude-*', every model that fits.

    An id that nobody knows is no error: all about it is unknown, and says so.
    """
    from loomwire.cli.output import show_json

    if not model_id.strip():
        raise click.BadParameter("must not be empty", param_hint="ID")
    found, near = _found(model_id, config)
    if as_json:
        described: list[JSON] = [_described(each) for each in found]
        show_json({"schema": "loomwire/model/1", "id": model_id, "known": described, "near": [*near]})
        return
    columns = facts.width()
    for each in found if _is_pattern(model_id) else found[:1]:
        _show(each, columns)
    if not found:
        _show_unknown(model_id, near, columns)
    facts.show_note(_ending(found, all_shown=_is_pattern(model_id)), columns)


def _show_unknown(model_id: str, near: tuple[str, ...], columns: int) -> None:
    fits = "fits" if _is_pattern(model_id) else "is called so"
    click.echo(click.style(model_id, bold=True))
    facts.show_line("known", f"nothing: no configured model and none of the catalogue {fits}", columns)
    if not _is_pattern(model_id):
        facts.show_line("so", "calls to it are allowed with a warning, and have no price", columns)
    if near:
        facts.show_line("alike", ", ".join(near), columns)
    click.echo()


def _ending(found: list[Known], *, all_shown: bool) -> Iterator[str]:
    if len(found) > 1 and not all_shown:
        yield f"also known: {', '.join(f'{each.type_}/{each.title}'.lstrip('/') for each in found[1:])}"
    yield "say more yourself at `capabilities` and `prices` of a model" if found else "see `loomwire models search`"
    yield "ask its provider with `loomwire models probe`"


def _found(model_id: str, config: Path) -> tuple[list[Known], tuple[str, ...]]:
    from loomwire.infrastructure.catalogue.registry import ModelRegistry

    registry = ModelRegistry()
    if config.exists():
        wiring = wiring_of(config)
        registry = wiring.model_registry()
        configured = [row for row in rows(wiring) if _fits(model_id, *_names(row))]
        if configured:
            return [_of_row(row, registry) for row in configured], ()
    known = _listed(model_id, registry)
    return known, () if known else _alike(model_id, registry)


def _listed(model_id: str, registry: ModelRegistry) -> list[Known]:
    """Return the providers whose own list has a model, or else the first that has one of its family."""
    if _is_pattern(model_id):
        return [_of_type(type_, name, registry) for type_, name in _matching(model_id, registry)]
    found = [_of_type(type_, name, registry) for type_, name in _typed(model_id)]
    exact = [each for each in found if any(about.source == "catalogue" for about in each.facts.said.values())]
    return exact or [each for each in found if each.facts.known][:1]


def _matching(pattern: str, registry: ModelRegistry) -> Iterator[tuple[str, str]]:
    from loomwire.infrastructure.catalogue.vendors import VENDORS

    # OpenRouter's own names begin like types, too.
    typed = pattern.partition("/")[0] in VENDORS
    for type_, name, _ in registry.entries():
        if fnmatchcase(f"{type_}/{name}" if typed else name, pattern):
            yield type_, name


def _is_pattern(model_id: str) -> bool:
    return "*" in model_id


def _fits(model_id: str, *names: str) -> bool:
    return any(fnmatchcase(name, model_id) for name in names) if _is_pattern(model_id) else model_id in names


def _names(row: Row) -> tuple[str, ...]:
    model = row.model
    return row.name, model.model, model.target, f"{model.type}/{model.model}"


def _typed(model_id: str) -> Iterator[tuple[str, str]]:
    from loomwire.infrastructure.catalogue.registry import own_types
    from loomwire.infrastructure.catalogue.vendors import VENDORS

    type_, slash, name = model_id.partition("/")
    if slash and name and type_ in VENDORS:
        yield type_, name
        return
    yield from ((each, model_id) for each in own_types())


def _of_row(row: Row, registry: ModelRegistry) -> Known:
    said = registry.facts(row.model)
    return Known(row.name, head(row), row.model.capabilities, row.model.prices, said, row.free)


def _of_type(type_: str, model: str, registry: ModelRegistry) -> Known:
    from loomwire.domain.config import LLMConfig
    from loomwire.infrastructure.providers.known import known
    from loomwire.infrastructure.providers.table import PROVIDERS

    config = LLMConfig(type=type_, model=model)
    row = PROVIDERS.get(type_)
    said = registry.facts(config)
    if row is None:
        return Known(model, {"at": type_}, said.capabilities, said.prices, said, type_=type_)
    capabilities, prices = known(config, row, registry)
    return Known(model, {"at": type_}, capabilities, prices, said, "provider" if row.free else "unknown", type_)


def _alike(model_id: str, registry: ModelRegistry) -> tuple[str, ...]:
    names: dict[str, str] = {}
    for type_, name, _ in registry.entries():
        names.setdefault(name, type_)
    wanted = model_id.rpartition("/")[2]
    near = difflib.get_close_matches(wanted, names, n=_NEAR, cutoff=0.7)
    return tuple(f"{names[name]}/{name}" for name in near)


def _describing(known: Known) -> Iterator[tuple[str, JSON, Source, str]]:
    """Yield label, value, source, and the field of `facts.said` it stands under."""
    able = known.capabilities
    for word in facts.ABILITIES:
        field = f"supports_{word}"
        yield word, getattr(able, field), able.source(field), field
    for field in _NUMBERS:
        yield field, getattr(able, field), able.source(field), field
    for field in ("inputs", "outputs"):
        kinds: tuple[str, ...] = getattr(known.facts, field)
        about = known.facts.said.get(field)
        yield field, [*kinds] or None, "unknown" if about is None else about.source, field


def _described(known: Known) -> dict[str, JSON]:
    said = known.facts.said
    described: dict[str, JSON] = {
        name: {"value": value, **facts.whence_json(source, said.get(field))}
        for name, value, source, field in _describing(known)
    }
    priced = facts.priced_json(known.prices)
    source: Source = "unknown" if known.prices is None else known.prices.source
    priced |= facts.whence_json(source, said.get("prices"))
    return {
        "name": known.title,
        **known.head,
        **described,
        "custom": facts.said(known.capabilities, "custom_capabilities"),
        "free": {"value": True if known.free != "unknown" else None, "source": known.free},
        "prices": {**priced, "why_unknown": _why(known) or None},
        "deprecated": known.facts.deprecated or None,
    }


def _why(known: Known) -> str:
    return "" if known.prices is not None else facts.UNPRICED.get(known.facts.unpriced, "")


def _show(known: Known, columns: int) -> None:
    click.echo(click.style(known.title, bold=True))
    for label, fact in known.head.items():
        facts.show_line(label, fact, columns)
    said = known.facts.said
    for name, value, source, field in _describing(known):
        label = {"context_window": "context", "max_tokens": "max output", "system_message": "system"}.get(name, name)
        words = "unknown" if value is None else f"{_worded(value)} ({facts.whence(source, said.get(field))})"
        facts.show_line(label, words, columns)
    if known.capabilities.custom_capabilities:
        facts.show_line("custom", facts.listed(known.capabilities.custom_capabilities), columns)
    facts.show_line("price", _price(known), columns)
    if known.facts.deprecated:
        facts.show_line("ends", "its vendor calls it deprecated", columns)
    click.echo()


def _price(known: Known) -> str:
    if known.free != "unknown":
        return f"free ({facts.SAID_BY[known.free]})"
    if known.prices is None:
        why = _why(known)
        return f"unknown: {why} ({facts.whence('catalogue', known.facts.said.get('prices'))})" if why else "unknown"
    parts = [f"{amount} {kind.replace('_', ' ')}" for kind, amount in facts.prices_json(known.prices).items()]
    origin = facts.whence(known.prices.source, known.facts.said.get("prices"))
    return f"{', '.join(parts)}; USD per million tokens ({origin})"


def _worded(value: JSON) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,} tokens"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
