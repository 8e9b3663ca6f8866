"""`loomwire models list`: what is configured, what is known of it, and who says so. No network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from loomwire.cli.models import facts
from loomwire.cli.models.configured import Row, head, parameters, rows, wiring_of
from loomwire.cli.output import json_flag

if TYPE_CHECKING:
    from loomwire.domain.values import JSON


@click.command(name="list", short_help="What each can do and costs, and who says so.")
@click.option("--config", type=click.Path(path_type=Path), default=Path("config"), help="The configuration folder.")
@json_flag
def list_models(config: Path, *, as_json: bool) -> None:
    """List every configured model: who uses it, what it can do and costs, and who says so. No network.

    Exit code 0, or 3 when there is no valid configuration. What nobody says is unknown, never no or 0.
    """
    from loomwire.cli.output import show_json

    found = list(rows(wiring_of(config)))
    if as_json:
        described: list[JSON] = [*map(described_row, found)]
        show_json({"schema": "loomwire/models/1", "config": str(config), "models": described})
        return
    columns = facts.width()
    for row in found:
        _show(row, columns)
    said = {source for row in found for source in (*row.model.capabilities.sources.values(), row.free)}
    said |= {row.model.prices.source for row in found if row.model.prices is not None}
    count = f"{len(found)} model{'' if len(found) == 1 else 's'} in {config}"
    facts.show_note([count, *facts.legend(said)], columns)


def described_row(row: Row) -> dict[str, JSON]:
    """Return a configured model as JSON."""
    model, known = row.model, row.model.capabilities
    return {
        "name": row.name,
        "provider": model.name,
        "type": model.type,
        **({"package": row.package} if row.package else {}),
        "model": model.model,
        "clients": [*row.clients],
        "capabilities": {word: facts.said(known, f"supports_{word}") for word in facts.ABILITIES},
        "context_window": facts.said(known, "context_window"),
        "max_tokens": facts.said(known, "max_tokens"),
        "custom": facts.said(known, "custom_capabilities"),
        "free": {"value": model.free or None, "source": row.free},
        "prices": facts.priced_json(model.prices),
        "parameters": parameters(model),
        "tags": sorted(model.tags),
    }


def _show(row: Row, columns: int) -> None:
    model, known = row.model, row.model.capabilities
    lines = {
        **head(row),
        "can": facts.able(known, able=True),
        "cannot": facts.able(known, able=False),
        "not known": facts.unknown(known),
        "custom": facts.listed(known.custom_capabilities),
        "context": facts.tokens(known, "context_window"),
        "max output": facts.tokens(known, "max_tokens"),
        "price": facts.price(model, row.free),
        "parameters": facts.listed(parameters(model)),
        "tags": ", ".join(sorted(model.tags)),
    }
    click.echo(click.style(row.name, bold=True))
    for label, fact in lines.items():
        if fact:
            facts.show_line(label, fact, columns)
    click.echo()
