"""`loomwire config history` and `rollback`: the generations that a process keeps in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from loomwire.cli.configuring.opening import config_option
from loomwire.cli.output import json_flag

if TYPE_CHECKING:
    from loomwire.application.reload.changes import Change
    from loomwire.domain.values import JSON, JSONObject
    from loomwire.infrastructure.history.folder import KeptGeneration

history_option = click.option(
    "--history",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The folder that `keep_history()` or `config watch --history` fills.",
)
"""The option of the commands that read a history."""


@click.command(short_help="The last generations, and what each changed.")
@history_option
@click.option("-n", "--last", type=click.IntRange(min=1), default=10, show_default=True, help="Only so many.")
@json_flag
def history(folder: Path, last: int, *, as_json: bool) -> None:
    """List the generations that were kept, oldest first: when each came into force, and what it changed.

    A process keeps them when its host calls `loomwire.hosts.history.keep_history(container, config, folder)`. The
    number is what `config rollback` takes.
    """
    from loomwire.cli.output import show_json
    from loomwire.infrastructure.history.folder import HistoryFolder

    entries = HistoryFolder(folder).entries()[-last:]
    if as_json:
        listed: list[JSON] = [entry.to_dict() for entry in entries]
        show_json({"schema": "loomwire/config-history/1", "history": str(folder), "generations": listed})
        return
    for entry in entries:
        _show(entry)
    if not entries:
        click.echo(f"{folder}: no generation is kept", err=True)


@click.command(short_help="Write the files of an earlier generation back.")
@click.argument("number", type=click.IntRange(min=1))
@history_option
@config_option
@json_flag
def rollback(number: int, folder: Path, config: Path, *, as_json: bool) -> None:
    """Put the files of generation NUMBER back in place; every process that watches them adopts them as an edit.

    A host that called `configs.rollback()` keeps to that while its files hold just what it left, so putting those back
    changes nothing there. What stands there now is saved in the history's folder first. Variables and secret files stay
    as they are. Exit code 0, or 3 when there is no such generation, or when its files are not valid any more.
    """
    from loomwire.cli.configuring.opening import load
    from loomwire.cli.output import show_json
    from loomwire.infrastructure.history.folder import HistoryFolder

    written = HistoryFolder(folder).restore(number, config)
    # Its files may need a variable, or a secret file, that is gone: better here than in a log.
    snapshot = load(config)
    if as_json:
        files: list[JSON] = [*written]
        show_json({"schema": "loomwire/config-rollback/1", "number": number, "digest": snapshot.digest, "files": files})
        return
    click.echo(f"{config}: generation {number} is back ({', '.join(written)})", err=True)


def _show(entry: KeptGeneration) -> None:
    from loomwire.cli.configuring.diff import show_changes

    said = f"{entry.number:>4}  {entry.when}  {entry.digest[:12]}"
    click.echo(click.style(said, bold=True) + f"  {', '.join(entry.files)}")
    show_changes([_change(each) for each in entry.changes])


def _change(said: JSONObject) -> Change:
    from loomwire.application.reload.changes import Change

    return Change.from_dict(said)
