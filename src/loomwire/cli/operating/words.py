"""How times, rates and tables read in a terminal."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from loomwire.domain.values import JSON

_LONG: Final = (("d", 86_400), ("h", 3600), ("min", 60))
_LEAST: Final = 20
_COLOURS: Final = {
    "healthy": "green",
    "degraded": "yellow",
    "unhealthy": "red",
    "closed": "green",
    "half_open": "yellow",
    "open": "red",
}


def seconds(value: JSON) -> str:
    """Return a time: `12 ms`, `3.4 s`, `12 s`, `5 min`, `2 h`."""
    if not isinstance(value, int | float):
        return "unknown"
    for unit, size in _LONG:
        if value >= 2 * size:
            return f"{value / size:.0f} {unit}"
    if value < 1:
        return f"{value * 1e3:.0f} ms"
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"


def share(value: JSON) -> str:
    """Return a share from 0 to 1 in percent."""
    return f"{value:.1%}" if isinstance(value, int | float) else "?"


def coloured(state: str, width: int = 0) -> str:
    """Return a state in its colour, padded."""
    colour = _COLOURS.get(state)
    text = f"{state.replace('_', ' '):<{width}}"
    return text if colour is None else click.style(text, fg=colour)


def columns() -> int | None:
    """Return how wide a terminal is; None where lines are read by programs, which break none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def show_table(
    head: Sequence[str], lines: Sequence[Sequence[str]], *, states: int | None = None, width: int | None = None
) -> None:
    """Print lines in columns, the heads dim.

    Args:
        head: What the columns are.
        lines: Their texts.
        states: The column whose states are coloured.
        width: The last column goes on in the next line when it would pass this; None leaves it as long as it is.
    """
    wide = [max(len(line[at]) for line in (head, *lines)) for at in range(len(head))]
    wide[-1] = 0
    click.echo(click.style("  ".join(f"{word:<{size}}" for word, size in zip(head, wide, strict=True)), dim=True))
    before = sum(wide) + 2 * len(wide) - 2
    for line in lines:
        cells = [
            coloured(word, size) if at == states else f"{word:<{size}}"
            for at, (word, size) in enumerate(zip(line, wide, strict=True))
        ]
        if width is not None:
            cells[-1] = f"\n{'':{before}}".join(textwrap.wrap(cells[-1], max(width - before, _LEAST)))
        click.echo("  ".join(cells).rstrip())
