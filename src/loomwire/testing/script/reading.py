"""Reads a script and says everything that is wrong with it, where it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from loomwire.domain.errors import ConfigError, ConfigRejectedError
from loomwire.domain.reports.problems import Problem
from loomwire.domain.values import JSON
from loomwire.infrastructure.configuration.documents import MAX_BYTES, Document, Part
from loomwire.infrastructure.configuration.yaml_tree import Items, Table
from loomwire.infrastructure.providers.offline.checks import Remark
from loomwire.testing.script.checks import script_problems
from loomwire.testing.script.world import Script, script_of


def read_script(file: str | Path) -> Script:
    """Return the script in a YAML file. Blocks while it reads.

    Raises:
        ConfigError: The file cannot be read.
        ConfigRejectedError: It has problems; all are listed, with line and column.
    """
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"the script {file} cannot be read: {error.strerror or error}") from None
    document = Document(str(file), data)
    root = document.root
    value: JSON = root.plain if isinstance(root, Items | Table) else root
    problems = list(document.problems())
    if not document.is_broken:
        problems += [_at(document, remark) for remark in script_problems(value)]
    _refuse(str(file), problems)
    return script_of(value)


def script_from(value: Mapping[str, JSON]) -> Script:
    """Return a script that is written in code.

    Raises:
        ConfigRejectedError: It has problems; all are listed.
    """
    problems = [replace(_told(said), path=".".join(map(str, path))) for path, said in script_problems(value)]
    _refuse("the script", problems)
    return script_of(value)


def _at(document: Document, remark: Remark) -> Problem:
    path, said = remark
    told = _told(said)
    at: Part = "key" if told.reason == "unknown_key" else "value"
    place = document.problem(told.reason, told.message, path, at=at)
    return replace(place, suggestion=told.suggestion, hint=told.hint)


def _told(said: str) -> Problem:
    message, _, more = said.partition("; ")
    near = more.removeprefix("did you mean `").removesuffix("`?")
    reason = "unknown_key" if message == "unknown key" else "out_of_range"
    if near != more:
        return Problem(reason, message, suggestion=near)
    return Problem(reason, message, hint=f"{more[0].upper()}{more[1:]}" if more else None)


def _refuse(name: str, problems: Sequence[Problem]) -> None:
    if problems:
        first = problems[0]
        said = ": ".join(
            part for part in (f"line {first.line}" if first.line else "", first.path, first.message) if part
        )
        meant = f"; did you mean `{first.suggestion}`?" if first.suggestion else ""
        rest = f" (the first of {len(problems)} problems)" if len(problems) > 1 else ""
        raise ConfigRejectedError(f"{name} cannot be played: {said}{meant}{rest}", problems=problems)
