"""`loomwire memory`: how short of memory running processes are, and what holds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from loomwire.cli.operating.asking import folder_argument, socket_option
from loomwire.cli.output import json_flag

if TYPE_CHECKING:
    from loomwire.domain.values import JSON

_LAST: Final = 5
_KIB: Final = 1024
_UNITS: Final = ("KiB", "MiB", "GiB", "TiB")
_SOURCES: Final = {
    "configured": "memory.limit",
    "cgroup": "the control group",
    "machine": "a guess: the machine has no more",
}
_COLOURS: Final = {"normal": "green", "soft": "yellow", "high": "red", "critical": "red"}


@click.command(short_help="Say how short of memory running processes are, and what holds it.")
@folder_argument
@socket_option
@json_flag
def memory(config: Path, socket: Path | None, *, as_json: bool) -> None:
    """Say how short of memory the processes are that run on DIR (default: config), and what holds it.

    Exit code 0, 3 when the configuration is not valid, 6 when no process can be asked.
    """
    from loomwire.cli.operating.asking import end, operate, processes
    from loomwire.cli.output import show_json

    asked = operate(config, socket, "memory")
    if as_json:
        show_json({"schema": "loomwire/memory-report/1", "processes": processes(asked.answers)})
    for answer in () if as_json else asked.answers:
        from loomwire.cli.operating.asking import title

        found = (answer.said or {}).get("memory")
        click.echo(title(answer))
        show(found if isinstance(found, dict) else {})
    end(asked)


def size(value: JSON) -> str:
    """Return a number of bytes: `512 B`, `1.4 MiB`, `200 MiB`."""
    if not isinstance(value, int | float):
        return "unknown"
    sign, left = "-" if value < 0 else "", float(abs(value))
    unit = "B"
    for larger in _UNITS:
        if left < _KIB:
            break
        left, unit = left / _KIB, larger
    digits = 1 if unit != "B" and left < 10 else 0  # as people say it
    return f"{sign}{left:.{digits}f} {unit}"


def show(report: Mapping[str, JSON]) -> None:
    """Print what the memory manager of a process tells."""
    from loomwire.cli.operating.asking import rows
    from loomwire.cli.operating.words import columns, seconds, show_table

    _show_process(report)
    holders = [_held(row) for row in rows(report, "holders")]
    operations = report.get("operations")
    taken = operations.items() if isinstance(operations, dict) else ()
    uses = [_used(name, account) for name, account in taken if isinstance(account, dict)]
    if holders or uses:
        # The name last: what is too wide goes on in the next line.
        show_table(("  holds", "most", "of its size", "what"), holders + uses, width=columns())
    events = [(float(str(row["ago_s"])), text) for text, row in _events(report)]
    for ago, text in sorted(events)[:_LAST]:
        click.echo(f"  {seconds(ago)} ago: {text}")
    if not report.get("running"):
        click.echo("  nobody looks before the first call, and after the container was closed")


def _show_process(report: Mapping[str, JSON]) -> None:
    from loomwire.cli.operating.words import seconds, share

    level, process = str(report.get("level")), report.get("process")
    coloured = click.style(level, fg=_COLOURS.get(level))
    line = f"  {coloured} for {seconds(report.get('level_s'))}"
    if isinstance(process, dict):
        limit = f"{size(process['limit_bytes'])} ({_SOURCES.get(str(process['source']))})"
        line += f": {size(process['rss_bytes'])}, {share(process['share'])} of {limit}"
    click.echo(line)
    if report.get("failures"):
        click.echo(f"  {report['failures']} of {report['looks']} looks failed")


def _held(row: Mapping[str, JSON]) -> tuple[str, ...]:
    from loomwire.cli.operating.words import share

    return f"  {size(row['held_bytes'])}", "", "" if row["share"] is None else share(row["share"]), str(row["name"])


def _used(name: str, account: Mapping[str, JSON]) -> tuple[str, ...]:
    held, peak = size(account["held_bytes"]), size(account["peak_bytes"])
    return f"  {held}", peak, "", f"{name} ({account['open']} open)"


def _events(report: Mapping[str, JSON]) -> Iterator[tuple[str, Mapping[str, JSON]]]:
    from loomwire.cli.operating.asking import rows

    for row in rows(report, "changes"):
        yield f"{row['old']} became {row['new']} at {size(row['rss_bytes'])}", row
    for row in rows(report, "actions"):
        yield f"{row['what']}: {size(row['freed_bytes'])} in {float(str(row['took_s'])) * 1e3:.0f} ms", row
