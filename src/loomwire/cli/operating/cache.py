"""`loomwire cache`: what the caches of running processes hold and did, and how they are purged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from loomwire.cli.operating.asking import folder_argument, socket_option
from loomwire.cli.output import json_flag

if TYPE_CHECKING:
    from loomwire.domain.values import JSON
    from loomwire.infrastructure.control.protocol import Answer

_LEVELS: Final = ("level", "hits", "misses", "rate", "stale", "evicted", "errors", "entries", "size", "oldest", "")
_CLIENTS: Final = ("client", "hits", "stale", "shared", "similar", "misses", "rate", "kept", "not kept")
_ENTRIES: Final = ("level", "hits", "age", "fresh for", "size", "kept for", "digest")
_MOST: Final = 1000


@click.group(short_help="Look at the caches of running processes, and purge them.")
def cache() -> None:
    """Look at the caches of running processes, and purge them.

    What is shown are numbers, never what was asked or answered. `control.socket` in the configuration lets this command
    ask the processes that run on it.
    """


def complete_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the clients of a configuration that begin so; none while it is not valid."""
    from loomwire.cli.configuring.opening import load
    from loomwire.domain.errors import ConfigError

    try:
        snapshot = load(ctx.params.get("config") or Path("config"))
    except ConfigError:
        return []
    return sorted(name for name in (*snapshot.clients, "all") if name.startswith(incomplete))


@cache.command(short_help="Show what caches hold, and what they saved.")
@folder_argument
@socket_option
@json_flag
def stats(config: Path, socket: Path | None, *, as_json: bool) -> None:
    """Show what every level of the caches holds, and what each client saved, in the processes that run on DIR.

    Exit code 0, 3 when the configuration is not valid, 6 when no process can be asked.
    """
    from loomwire.cli.operating.asking import end, operate, processes, title
    from loomwire.cli.output import show_json

    asked = operate(config, socket, "caches")
    if as_json:
        show_json({"schema": "loomwire/caches/1", "processes": processes(asked.answers)})
    for answer in () if as_json else asked.answers:
        click.echo(title(answer))
        _show_levels(answer)
        _show_clients(answer)
    end(asked)


@cache.command(short_help="Show which entries are asked for most often.")
@folder_argument
@click.option("--client", default=None, shell_complete=complete_names, help="Only what is kept for it.")
@click.option("--limit", type=click.IntRange(1, _MOST), default=20, show_default=True, help="How many of each process.")
@socket_option
@json_flag
def show(config: Path, client: str | None, limit: int, socket: Path | None, *, as_json: bool) -> None:
    """Show facts of the entries that are asked for most often in the processes that run on DIR; never a value.

    A digest is that of a request and all its answer depends on. Exit code 0, 3 when there is no such client or no valid
    configuration, 6 when no process can be asked.
    """
    from loomwire.cli.operating.asking import end, operate, processes, rows, title
    from loomwire.cli.operating.words import columns, show_table
    from loomwire.cli.output import show_json

    asked = operate(config, socket, "entries", name=client, limit=limit)
    if as_json:
        show_json({"schema": "loomwire/cache-entries/1", "processes": processes(asked.answers)})
    for answer in () if as_json else asked.answers:
        click.echo(title(answer))
        found = [_entry(row) for row in rows(answer.said, "entries")]
        if found:
            show_table(_ENTRIES, found, width=columns())
        else:
            click.echo("nothing is kept")
    end(asked)


@cache.command(short_help="Forget what is kept for a client, or everything.")
@click.argument("name", shell_complete=complete_names)
@folder_argument
@socket_option
@json_flag
def purge(name: str, config: Path, socket: Path | None, *, as_json: bool) -> None:
    """Forget what is kept for the client NAME on every level, in the processes that run on DIR (default: config).

    NAME may also be a namespace of the host; `all` is everything. Answers that the client shares with others are
    forgotten for them too. A level that cannot be reached is purged before it is used again. Exit code 0, 3 when there
    is no such client or no valid configuration, 6 when no process can be asked, 8 when one of them, or one level, did
    not do it.
    """
    from loomwire.cli.operating.asking import end, operate, processes, title
    from loomwire.cli.output import show_json

    asked = operate(config, socket, "purge", name=None if name == "all" else name)
    if as_json:
        show_json({"schema": "loomwire/cache-purge/1", "processes": processes(asked.answers)})
    for answer in () if as_json else asked.answers:
        click.echo(f"{title(answer)}: {_purged(name, answer)}")
    owing = [level for answer in asked.answers for level in _texts(answer, "owing")]
    end(asked)
    if owing:
        raise click.exceptions.Exit(8)


def _show_levels(answer: Answer) -> None:
    from loomwire.cli.operating.asking import rows
    from loomwire.cli.operating.words import columns, show_table

    levels = [_level(row) for row in rows(answer.said, "levels")]
    if levels:
        show_table(_LEVELS, levels, width=columns())
    else:
        click.echo("no cache is configured")


def _show_clients(answer: Answer) -> None:
    from loomwire.cli.operating.words import show_table

    found = (answer.said or {}).get("clients")
    clients = found.items() if isinstance(found, dict) else ()
    lines = [_client(name, counts) for name, counts in clients if isinstance(counts, dict)]
    if lines:
        click.echo()
        show_table(_CLIENTS, lines)


def _level(row: Mapping[str, JSON]) -> tuple[str, ...]:
    from loomwire.cli.operating.words import seconds

    resting, size = row["resting_s"], _size(row["size_bytes"])
    return (
        str(row["level"]),
        str(row["hits"]),
        str(row["misses"]),
        _rate(row["hit_rate"]),
        str(row["stale"]),
        str(row["evictions"]),
        str(row["errors"]),
        _count(row["entries"]),
        size if row["limit_bytes"] is None else f"{size} of {_size(row['limit_bytes'])}",
        "" if row["oldest_s"] is None else seconds(row["oldest_s"]),
        f"rests for {seconds(resting)}" if resting else "",
    )


def _client(name: str, counts: Mapping[str, JSON]) -> tuple[str, ...]:
    numbers = [str(counts[each]) for each in ("hits", "stale", "shared", "similar", "misses")]
    return (name, *numbers, _rate(counts["hit_rate"]), str(counts["kept"]), str(counts["refused"]))


def _entry(row: Mapping[str, JSON]) -> tuple[str, ...]:
    from loomwire.cli.operating.words import seconds

    fresh = row["fresh_s"]
    return (
        str(row["level"]),
        str(row["hits"]) if row["hits"] else "",
        seconds(row["age_s"]),
        seconds(fresh) if isinstance(fresh, int | float) and fresh > 0 else "stale",
        _size(row["size_bytes"]),
        str(row["namespace"]),
        str(row["digest"])[:16],
    )


def _purged(name: str, answer: Answer) -> str:
    levels, owing = _texts(answer, "levels"), _texts(answer, "owing")
    what = "everything" if name == "all" else name
    if not levels:
        return "nothing is kept, so there was nothing to forget"
    said = f"forgot {what} ({', '.join(levels)})"
    return f"{said}; {', '.join(owing)} could not be reached and is purged before it is used again" if owing else said


def _texts(answer: Answer, name: str) -> list[str]:
    found = (answer.said or {}).get(name)
    return [str(each) for each in found] if isinstance(found, list) else []


def _rate(value: JSON) -> str:
    return f"{value:.0%}" if isinstance(value, int | float) else ""


def _count(value: JSON) -> str:
    return str(value) if isinstance(value, int) else "?"


def _size(value: JSON) -> str:
    from loomwire.cli.operating.memory import size

    return size(value) if isinstance(value, int) else "?"
