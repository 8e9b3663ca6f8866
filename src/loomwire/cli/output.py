"""What people and programs see: data on stdout, everything else on stderr, one error form, fixed exit codes."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import click

from loomwire.domain.errors import ConfigError, ConfigRejectedError, LoomError
from loomwire.domain.faults import FAULTS, ErrorCategory
from loomwire.domain.reports.problems import Problem
from loomwire.domain.values import JSON

json_flag = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON document on stdout instead. A failure is one too (loomwire/error/1), with the same exit code.",
)
"""The flag of every command whose output is data."""

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


def wants_json(words: Sequence[str]) -> bool:
    """Tell whether a command line asks for JSON, also one that is too wrong to be parsed."""
    options = list(words[: words.index("--")]) if "--" in words else list(words)
    return not {"--json", "--format=json"}.isdisjoint(options) or ("--format", "json") in pairwise(options)


def error_json(error: Exception) -> dict[str, JSON]:
    """Return any failure as JSON; of an error that is not ours only its type, because its text may hold anything."""
    if isinstance(error, ConfigRejectedError):
        return {**error.to_dict(), "problems": [problem_json(problem) for problem in error.problems]}
    if isinstance(error, LoomError):
        return error.to_dict()
    if isinstance(error, click.ClickException):
        usage: dict[str, JSON] = {"type": "UsageError", "category": ErrorCategory.VALIDATION.value, "code": None}
        return {"schema": "loomwire/error/1", **usage, "message": error.format_message()}
    name = type(error).__name__
    return {**LoomError(f"internal error: {name}", reason="internal").to_dict(), "type": name}


def problem_json(problem: Problem) -> dict[str, JSON]:
    """Return one problem of a configuration as JSON; `hint` always says what to do."""
    meant = f"did you mean `{problem.suggestion}`?" if problem.suggestion else FAULTS[problem.reason].remedy
    return {
        "code": problem.code,
        "reason": problem.reason,
        "severity": problem.severity,
        "message": problem.message,
        "path": problem.path,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "suggestion": problem.suggestion,
        "hint": problem.hint or meant,
    }


def show_json(value: JSON, *, one_line: bool = False) -> None:
    """Print one JSON document on stdout; on one line where it is part of a stream of them."""
    click.echo(json_text(value, indent=None if one_line else 2))


def json_text(value: JSON, indent: int | None = None) -> str:
    """Return a value as JSON text; mappings that nobody can change are objects like others."""
    return json.dumps(value, ensure_ascii=False, indent=indent, default=dict)


@contextmanager
def unlogged() -> Generator[None, None, None]:
    """Keep the library's log lines out of the way where a command tells the same, and longer."""
    import logging

    silence = logging.NullHandler()
    logger = logging.getLogger("loomwire")
    logger.addHandler(silence)
    try:
        yield
    finally:
        logger.removeHandler(silence)
