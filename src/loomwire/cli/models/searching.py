"""`loomwire models search`: models of the catalogue by words, abilities and price. No network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import click

from loomwire.cli.models import facts
from loomwire.cli.output import json_flag

if TYPE_CHECKING:
    from loomwire.domain.ports.models import ModelFacts
    from loomwire.domain.values import JSON

_PICO = 1_000_000
_SHOWN = 20
_COLUMNS = ("context", "in", "out", "can", "model")


def _dollars(_: click.Context, __: click.Parameter, text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise click.BadParameter("must be a number of US dollars per million tokens, 0 or more")
    return amount


@click.command(short_help="Find models of the catalogue.")
@click.argument("words", nargs=-1)
@click.option("--provider", default=None, help="Only models of this provider type, such as openai.")
@click.option("--vision", is_flag=True, help="Only what is known to read pictures.")
@click.option("--tools", is_flag=True, help="Only what is known to call tools.")
@click.option("--min-context", type=click.IntRange(min=1), default=None, help="Tokens that must fit at least.")
@click.option("--max-price", callback=_dollars, default=None, help="USD per million output tokens, at most.")
@click.option("--limit", type=click.IntRange(min=1), default=_SHOWN, help="How many lines at most.", show_default=True)
@json_flag
@click.pass_context
def search(ctx: click.Context, /, words: tuple[str, ...], **_options: object) -> None:
    """Find models of the catalogue whose id has all WORDS, of which * stands for anything. No network.

    What nobody knows is no match: with --max-price a model without a known price is left out. The cheapest come first.
    Exit code 0, also when nothing is found.
    """
    from loomwire.cli.output import show_json

    options = ctx.params
    found = sorted(_matching(words, options), key=_order)
    shown = found[: options["limit"]]
    if options["as_json"]:
        described: list[JSON] = [_described(*each) for each in shown]
        show_json({"schema": "loomwire/models-search/1", "found": len(found), "models": described})
        return
    _show(shown)
    more = [f"the first {len(shown)} of {len(found)} models"] if len(found) > len(shown) else []
    count = f"{len(found)} model{'' if len(found) == 1 else 's'} of the catalogue"
    notes = more or [count]
    facts.show_note(
        [*notes, "prices in USD per million tokens", "more of one: loomwire models show MODEL"], facts.width()
    )


def _matching(words: Iterable[str], options: Mapping[str, object]) -> list[tuple[str, str, ModelFacts]]:
    from loomwire.infrastructure.catalogue.registry import ModelRegistry

    types = _types(options["provider"])
    wanted = [word.lower() for word in words]
    checks = list(_checks(options))
    return [
        (type_, name, known)
        for type_, name, known in ModelRegistry().entries(types)
        if all(_has(f"{type_}/{name}".lower(), word) for word in wanted) and all(check(known) for check in checks)
    ]


def _types(provider: object) -> tuple[str, ...]:
    from loomwire.infrastructure.catalogue.vendors import VENDORS

    if provider is None:
        return ()
    listed = sorted(type_ for type_, vendor in VENDORS.items() if vendor.file)
    if provider not in listed:
        raise click.BadParameter(f"the catalogue has {', '.join(listed)}", param_hint="--provider")
    return (str(provider),)


def _has(text: str, word: str) -> bool:
    return fnmatchcase(text, f"*{word}*") if "*" in word else word in text


def _checks(options: Mapping[str, object]) -> Iterable[Callable[[ModelFacts], bool]]:
    context, price = options["min_context"], options["max_price"]
    if options["vision"]:
        yield lambda known: known.capabilities.supports_vision is True
    if options["tools"]:
        yield lambda known: known.capabilities.supports_tools is True
    if isinstance(context, int):
        yield lambda known: (known.capabilities.context_window or 0) >= context
    if isinstance(price, Decimal):
        yield lambda known: known.prices is not None and known.prices.output_pico <= price * _PICO


def _order(found: tuple[str, str, ModelFacts]) -> tuple[bool, int, str, str]:
    type_, name, known = found
    prices = known.prices
    return prices is None, 0 if prices is None else prices.input_pico + prices.output_pico, name, type_


def _described(type_: str, name: str, known: ModelFacts) -> dict[str, JSON]:
    able = known.capabilities
    return {
        "type": type_,
        "model": name,
        "capabilities": {word: getattr(able, f"supports_{word}") for word in facts.ABILITIES},
        "context_window": able.context_window,
        "max_tokens": able.max_tokens,
        "inputs": [*known.inputs],
        "prices": None if known.prices is None else facts.prices_json(known.prices),
        "deprecated": known.deprecated or None,
    }


def _show(found: Iterable[tuple[str, str, ModelFacts]]) -> None:
    lines = [_COLUMNS, *(_line(*each) for each in found)]
    if len(lines) == 1:
        return
    # The id is last: it may be long, and `models show` takes it as it stands there.
    wide = [max(len(line[at]) for line in lines) for at in range(len(_COLUMNS))]
    for number, line in enumerate(lines):
        text = "  ".join(f"{word:<{size}}" for word, size in zip(line, wide, strict=True)).rstrip()
        click.echo(click.style(text, dim=True) if number == 0 else text)


def _line(type_: str, name: str, known: ModelFacts) -> tuple[str, ...]:
    able, prices = known.capabilities, known.prices
    context = "?" if able.context_window is None else _short(able.context_window)
    read, written = ("?", "?") if prices is None else (facts.usd(prices.input_pico), facts.usd(prices.output_pico))
    words = {"tools": "tools", "vision": "vision", "json_schema": "schema", "reasoning": "thinks"}
    can = " ".join(shown for word, shown in words.items() if getattr(able, f"supports_{word}"))
    return context, read, written, can, f"{type_}/{name}"


def _short(count: int) -> str:
    return f"{count / 1_000_000:.3g}M" if count >= 1_000_000 else f"{count // 1000}k" if count >= 1000 else str(count)
