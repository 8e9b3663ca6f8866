"""Problems as annotations of a GitHub workflow, shown beside the lines they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from loomwire.domain.errors import ConfigError
    from loomwire.domain.reports.problems import Problem


def annotate(problems: tuple[Problem, ...], other: ConfigError | None) -> None:
    """Print every problem as an annotation on stdout, where the workflow reads them."""
    for problem in problems:
        click.echo(_annotation(problem))
    if other is not None:
        click.echo(f"::error title={other.code}::{_escaped(str(other))}")


def _annotation(problem: Problem) -> str:
    facts = {"file": problem.file, "line": problem.line or None, "col": problem.column or None, "title": problem.code}
    # In front of the message, `,` and `:` are GitHub's own.
    listed = (f"{name}={_escaped(str(fact), ',:')}" for name, fact in facts.items() if fact is not None)
    hint = problem.hint or (f"did you mean `{problem.suggestion}`?" if problem.suggestion else "")
    where = f" in {problem.path}" if problem.path else ""
    said = f"{problem.message}{where}{f'; {hint}' if hint else ''}"
    return f"::{problem.severity} {','.join(listed)}::{_escaped(said)}"


def _escaped(text: str, more: str = "") -> str:
    return "".join(f"%{ord(char):02X}" if char in "%\r\n" or char in more else char for char in text)
