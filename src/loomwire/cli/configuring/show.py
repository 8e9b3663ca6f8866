"""`loomwire config show`: the configuration that is in force, and where every value came from."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loomwire.cli.configuring.documents import value_json
from loomwire.cli.configuring.opening import complete_keys, config_option
from loomwire.cli.output import json_flag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loomwire.cli.configuring.opening import Opened
    from loomwire.domain.values import JSON
    from loomwire.infrastructure.configuration.origins.keys import KeyPath
    from loomwire.infrastructure.configuration.origins.origins import Origins, Resolved

_LONGEST_KEY, _LONGEST_VALUE = 30, 16


@click.command(short_help="What is in force, and where every value came from.")
@click.argument("path", required=False, default="", shell_complete=complete_keys)
@config_option
@click.option("--all", "everything", is_flag=True, help="Also what is inherited, and what is so by default.")
@json_flag
def show(path: str, config: Path, *, everything: bool, as_json: bool) -> None:
    """Show the configuration with everything put in, and the file, variable or default that every value came from.

    PATH, such as clients.planner.timeouts or just planner, shows only what stands below it. Secrets are
    never shown. Without --all, only what somebody said: a file, a variable, or loomwire about a provider's type. Exit
    code 0, 2 when there is no such key or several, 3 when there is no valid configuration.
    """
    from loomwire.cli.configuring.opening import key_path, opened

    found = opened(config)
    below = key_path(path, found.origins) if path else ()
    values = listed(found.origins, below, everything=everything)
    if as_json:
        _dump(config, found, values)
        return
    show_values(values, found.origins, config)
    count = f"{len(values)} value{'' if len(values) == 1 else 's'} of {config}"
    click.echo(count + ("" if everything else "; with --all also what is inherited or default"), err=True)


def listed(origins: Origins, below: KeyPath, *, everything: bool) -> list[Resolved]:
    """Return the values below a key; of a single key its value, whoever said it."""
    found = [origins.resolved(key) for key in origins.listed(below, everything=everything)]
    facts = origins.facts(below)
    return found or ([origins.resolved(below)] if facts.kind == "value" else [])


def show_values(values: Sequence[Resolved], origins: Origins, root: Path) -> None:
    """Print values in groups, one for each provider, model, client and section, with their origins beside them."""
    from loomwire.cli.configuring.words import width

    wide = width()
    for head, group in groupby(values, lambda value: _head(value.key)):
        rows = [_row(value, origins, root, len(head)) for value in group]
        if head:
            click.echo(click.style(".".join(head), bold=True))
        longest = min(_LONGEST_KEY, max(len(key) for key, _, _ in rows))
        middle = min(_LONGEST_VALUE, max(len(value) for _, value, _ in rows))
        for row in rows:
            _show_row(row, longest, middle, wide)
        click.echo()


def _head(key: KeyPath) -> KeyPath:
    return key[:-1] if len(key) < 3 else key[:2]


def _row(value: Resolved, origins: Origins, root: Path, above: int) -> tuple[str, str, str]:
    """Return key, value and origin as words."""
    from loomwire.cli.configuring.words import origin_words, value_words

    facts = origins.facts(value.key)
    source = origin_words(value.origin, value.key, root)
    if not facts.in_force:
        source += ", not in force yet"
    return ".".join(value.key[above:]), value_words(value.value, facts.unit), source


def _show_row(row: tuple[str, str, str], longest: int, middle: int, wide: int) -> None:
    from loomwire.cli.configuring.words import fitted

    key, value, source = row
    start = f"  {key:<{longest}}  "
    padded = f"{value:<{middle}}" if len(start) + middle + 2 + len(source) <= wide else value
    if len(start) + len(padded) + 2 + len(source) <= wide:
        click.echo(f"{start}{padded}  {click.style(source, dim=True)}")
        return
    click.echo(start + fitted(value, wide - len(start)))
    click.echo(f"  {'':<{longest}}  {click.style(fitted(source, wide - longest - 4), dim=True)}")


def _dump(config: Path, found: Opened, values: Sequence[Resolved]) -> None:
    from loomwire.cli.output import show_json

    facts: list[JSON] = [value_json(value, found.origins) for value in values]
    files: list[JSON] = [*found.snapshot.files]
    show_json(
        {
            "schema": "loomwire/config/1",
            "config": str(config),
            "digest": found.snapshot.digest,
            "files": files,
            "values": facts,
        }
    )
