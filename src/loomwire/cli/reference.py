"""`loomwire schema` and `loomwire explain`: what may be written, and what an error code means."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from loomwire.domain.faults import Fault


@click.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors and other tools."""
    from loomwire.cli.output import show_json
    from loomwire.infrastructure.configuration.json_schema import config_json_schema
    from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS

    show_json(config_json_schema(PROVIDERS, DIALECTS))


@click.command()
@click.argument("code")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
def explain(code: str, as_json: bool) -> None:  # noqa: FBT001  # click passes flags by name
    """Say what an error CODE such as CFG010 or RAT001 means and what to do. `all` lists every code."""
    from loomwire.cli.output import show_json
    from loomwire.domain.faults import CODES

    if code.lower() == "all":
        rows = list(CODES.values())
    else:
        row = CODES.get(code.upper())
        if row is None:
            near = difflib.get_close_matches(code.upper(), CODES, n=3)
            guess = f" Did you mean {' or '.join(near)}?" if near else ""
            raise click.BadParameter(f"there is no error code {code!r}.{guess}", param_hint="CODE")
        rows = [row]
    if as_json:
        show_json({"schema": "loomwire/explain/1", "codes": [_facts(row) for row in rows]})
    elif len(rows) == 1:
        _show(rows[0])
    else:
        for row in rows:
            click.echo(f"{row.code}  {row.reason:<20} {row.meaning}")


def _show(row: Fault) -> None:
    may = row.disposition
    click.echo(click.style(f"{row.code} {row.reason}", bold=True) + f" ({row.category.value})")
    click.echo(f"  meaning:     {row.meaning}")
    click.echo(f"  what to do:  {row.remedy}")
    if not row.code.startswith(("CFG", "WIR")):
        again = "yes" if may.retry_same else "no"
        click.echo(f"  same target: {again}; other targets: {may.fallback.replace('_', ' ')}")


def _facts(row: Fault) -> dict[str, str | bool]:
    return {
        "code": row.code,
        "reason": row.reason,
        "category": row.category.value,
        "meaning": row.meaning,
        "remedy": row.remedy,
        "retry_same": row.disposition.retry_same,
        "fallback": row.disposition.fallback,
    }
