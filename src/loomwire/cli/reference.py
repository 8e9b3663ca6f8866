"""`loomwire schema`, `explain` and `completion`: what may be written, what a code means, and help while typing."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import click

from loomwire.cli.output import json_flag

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from loomwire.domain.faults import Fault

SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print the JSON Schema of the configuration.")
@click.option("--json", "as_json", is_flag=True, help="Changes nothing: a JSON Schema is JSON. Errors are JSON too.")
def schema(*, as_json: bool) -> None:  # noqa: ARG001  # see its help
    """Print the JSON Schema of the configuration, for editors and other tools."""
    from loomwire.cli.output import show_json
    from loomwire.infrastructure.configuration.json_schema import config_json_schema
    from loomwire.infrastructure.providers.manager import ProviderManager

    manager = ProviderManager()
    show_json(config_json_schema(manager.providers, manager.dialects))


INSTALL = """\b
bash, 4.4 or later, at the end of ~/.bashrc:
  eval "$(loomwire completion bash)"
\b
zsh, in ~/.zshrc after compinit:
  eval "$(loomwire completion zsh)"
\b
fish, in ~/.config/fish/config.fish:
  loomwire completion fish | source

Every shell you open then knows it."""


@click.command(epilog=INSTALL, short_help="Print the script for completion in a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes commands, options, clients and error codes in a SHELL.

    Names of clients come from the folder given with --config, or else from ./config.
    """
    from click.shell_completion import BashComplete, FishComplete, ZshComplete

    root = click.get_current_context().find_root()
    script = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}[shell]
    click.echo(script(root.command, {}, "loomwire", "_LOOMWIRE_COMPLETE").source())


def complete_codes(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Return the error codes that begin so, with their meaning for shells that show it."""
    from click.shell_completion import CompletionItem

    from loomwire.domain.faults import CODES

    rows = {"all": "every code", **{code: row.meaning for code, row in CODES.items()}}
    return [
        # As it was typed, because the shell drops what does not begin so.
        CompletionItem(incomplete + word[len(incomplete) :], help=meaning)
        for word, meaning in rows.items()
        if word.lower().startswith(incomplete.lower())
    ]


@click.command(short_help="Say what an error code means and what to do.")
@click.argument("code", shell_complete=complete_codes)
@json_flag
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
