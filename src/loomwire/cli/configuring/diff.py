"""`loomwire config diff`: what another configuration would change, and what has to be built anew for it."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loomwire.cli.output import json_flag

if TYPE_CHECKING:
    from loomwire.application.reload.changes import Change
    from loomwire.domain.config import ClientConfig, LLMConfig, Snapshot
    from loomwire.domain.values import JSON

_SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}
_NAMED = 4


@click.command(short_help="What differs between two configurations, and what each change rebuilds.")
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@json_flag
def diff(old: Path, new: Path, *, as_json: bool) -> None:
    """Compare the configurations OLD and NEW, two folders or files: what they mean, not how they are written.

    Each change says what it has built anew: nothing; the clients that ask it, over the connections there are; or
    those and their connections. Of keys, headers and prompts only that they differ. Exit code 0, also when something
    differs, or 3 when one of them is not valid.
    """
    from loomwire.application.reload.changes import changes, rebuilt
    from loomwire.cli.configuring.opening import load
    from loomwire.cli.output import show_json

    before, after = (_elsewhere(load(each), each) for each in (old, new))
    found = changes(before, after)
    anew = rebuilt(before, after)
    if as_json:
        listed: list[JSON] = [change.to_dict() for change in found]
        show_json(
            {
                "schema": "loomwire/config-diff/1",
                "old": str(old),
                "new": str(new),
                "rebuilt": [*anew],
                "changes": listed,
            }
        )
        return
    show_changes(found)
    kept = len(after.clients.keys() & before.clients.keys()) - len(anew)
    count = f"{len(found)} change{'' if len(found) == 1 else 's'}" if found else "no change"
    click.echo(f"{count}; of the clients in both, {len(anew)} to be built anew and {kept} kept", err=True)


def show_changes(found: Sequence[Change]) -> None:
    """Print changes, each with what it rebuilds; the same change of many models or clients is printed once."""
    from loomwire.cli.configuring.words import width

    wide = width()
    for alike in _gathered(found):
        change = alike[0]
        sign, colour = _SIGNS[change.kind]
        said = f"{change.path}{_values(change)}"
        if len(alike) > 1:
            said += f" (and {len(alike) - 1} more such)"
        lines = textwrap.wrap(said, wide - 4, break_on_hyphens=False)
        click.echo(f"{click.style(sign, fg=colour, bold=True)} " + "\n    ".join(lines))
        clients = tuple(dict.fromkeys(name for each in alike for name in each.clients))
        click.echo(click.style(f"    {_effect(change, clients)}", dim=True))


def _gathered(found: Sequence[Change]) -> Iterator[list[Change]]:
    """Yield changes by what they say: one line of `defaults` is the same change of every model."""
    groups: dict[str, list[Change]] = {}
    for change in found:
        section, _, key = change.path.partition(".")
        field = key.partition(".")[2]
        # What came or went is worth a line each.
        same = f"{section} {field} {change.kind} {change.old} {change.new} {change.rebuilds}" if field else change.path
        groups.setdefault(change.path if change.hidden else same, []).append(change)
    yield from groups.values()


def _values(change: Change) -> str:
    from loomwire.cli.configuring.words import fitted, value_words

    if change.hidden:
        return f": {change.kind}"
    if change.old == change.new:
        return "" if change.old is None else f": {change.old}, whose content differs"
    old, new = (fitted(value_words(value), 60) for value in (change.old, change.new))
    return f": {old} -> {new}"


def _effect(change: Change, clients: Sequence[str]) -> str:
    if not clients:
        return "no client asks it, so nothing is built anew"
    if change.path == f"clients.{clients[0]}" and change.kind != "changed":
        gone = f"new calls of {clients[0]} are refused, those in flight finish"
        return gone if change.kind == "removed" else f"builds {clients[0]}"
    more = f" and {len(clients) - _NAMED} more" if len(clients) > _NAMED else ""
    names = f"{', '.join(clients[:_NAMED])}{more}"
    if change.rebuilds == "connections":
        return f"builds anew: {names}, and their connections"
    if change.rebuilds == "clients":
        return f"builds anew: {names}; connections stay"
    return f"was asked by {names}"


def _elsewhere(snapshot: Snapshot, root: Path) -> Snapshot:
    """Return a snapshot whose files are named from its own folder, so that two folders can be compared."""
    from dataclasses import replace

    from loomwire.domain.values import FrozenDict

    folder = root.parent if root.is_file() else root

    def placed(model: LLMConfig) -> LLMConfig:
        """Return a model with its paths relative to the folder."""
        file = model.options.get("model_path")
        options = {**model.options, "model_path": os.path.relpath(file, folder)} if isinstance(file, str) else None
        replay = None if model.replay is None else os.path.relpath(model.replay, folder)
        if options is None and replay is None:
            return model
        return replace(model, options=model.options if options is None else FrozenDict(options), replay=replay)

    def client(config: ClientConfig) -> ClientConfig:
        """Return a client with the paths of its models relative to the folder."""
        return replace(config, targets=tuple(map(placed, config.targets)))

    return replace(
        snapshot,
        models={name: placed(model) for name, model in snapshot.models.items()},
        clients={name: client(config) for name, config in snapshot.clients.items()},
    )
