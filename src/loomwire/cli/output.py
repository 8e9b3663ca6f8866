"""What people and programs see: data on stdout, everything else on stderr, one error form, fixed exit codes."""

from __future__ import annotations

import json

import click

from loomwire.domain.errors import ConfigError, ConfigRejectedError, LoomError
from loomwire.domain.faults import ErrorCategory
from loomwire.domain.values import JSON

EXIT_CODES = {
    ErrorCategory.NETWORK: 6,
    ErrorCategory.TIMEOUT: 10,
    ErrorCategory.RATE_LIMIT: 7,
    ErrorCategory.TEMPORARY: 6,
    ErrorCategory.AUTHENTICATION: 4,
    ErrorCategory.PERMISSION: 4,
    ErrorCategory.VALIDATION: 9,
    ErrorCategory.NOT_FOUND: 6,
    ErrorCategory.INTERNAL: 1,
    ErrorCategory.UNKNOWN: 6,
}


def exit_code(error: BaseException) -> int:
    """Return the exit code that belongs to an error."""
    if isinstance(error, ConfigError):
        return 3
    if not isinstance(error, LoomError):
        return 1
    return 5 if error.reason == "budget_exceeded" else EXIT_CODES[error.category]


def show_error(error: Exception) -> None:
    """Print an error for a person on stderr: code, what, where, what to do."""
    if isinstance(error, ConfigRejectedError):
        show_block(error.explain())
        click.echo(f"\n{error.message}", err=True)
    elif isinstance(error, LoomError):
        show_block(error.explain())
    else:
        click.echo(f"internal error: {type(error).__name__}; run again with LOOMWIRE_DEBUG=1 for the trace", err=True)


def show_block(text: str) -> None:
    """Print lines on stderr, with the words `error[...]` and `warning[...]` coloured on a terminal."""
    for line in text.splitlines():
        head, bracket, rest = line.partition("]: ")
        if bracket and head.startswith(("error[", "warning[")):
            colour = "red" if head.startswith("error") else "yellow"
            line = click.style(f"{head}]", fg=colour, bold=True) + f": {rest}"  # noqa: PLW2901  # the same line, coloured
        click.echo(line, err=True)


def show_json(value: JSON, *, one_line: bool = False) -> None:
    """Print one JSON document on stdout; on one line where it is part of a stream of them."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=None if one_line else 2))
