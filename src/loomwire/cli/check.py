"""`loomwire check`: is this configuration good, and if not, where and why. No network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from loomwire.cli.annotations import annotate
from loomwire.cli.output import json_flag

if TYPE_CHECKING:
    from loomwire.domain.errors import ConfigError
    from loomwire.domain.reports.problems import Problem
    from loomwire.domain.values import JSON


@click.command(short_help="Validate a configuration, without network.")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("config"))
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    help="For a person, a program (as --json), or annotations of a GitHub workflow.",
)
@json_flag
def check(folder: Path, strict: bool, form: str, as_json: bool) -> None:  # noqa: FBT001  # click passes flags by name
    """Validate a configuration FOLDER (default: config) and build every client, without network.

    Exit code 0 when it may come into force, 3 when not.
    """
    from loomwire.domain.errors import ConfigError, ConfigRejectedError

    problems: tuple[Problem, ...] = ()
    other: ConfigError | None = None
    summary: dict[str, JSON] = {}
    try:
        summary, problems = _looked_at(folder)
    except ConfigRejectedError as error:
        problems = error.problems
    except ConfigError as error:
        other = error
    bad = other is not None or any(strict or problem.severity == "error" for problem in problems)
    _report("json" if as_json else form, problems, other, {"folder": str(folder), "ok": not bad, **summary})
    if bad:
        raise click.exceptions.Exit(3)


def _looked_at(folder: Path) -> tuple[dict[str, JSON], tuple[Problem, ...]]:
    from loomwire.container.facade import LLMContainer
    from loomwire.infrastructure.providers.manager import ProviderManager

    with LLMContainer.open(folder, watch=False) as container:
        container.check_wiring()
        health = container.health()
        facts: dict[str, JSON] = {
            "clients": list(container.names()),
            "targets": sorted(health.targets),
            "files": list(health.files),
            "digest": health.digest,
        }
        manager = container.resolve(ProviderManager)
        for word, types in (("packages", manager.packages()), ("ignored", manager.ignored())):
            if types:
                facts[word] = dict(types)
        return facts, health.warnings


def _report(form: str, problems: tuple[Problem, ...], other: ConfigError | None, summary: dict[str, JSON]) -> None:
    if form == "json":
        _dump(problems, other, summary)
        return
    if form == "github":
        annotate(problems, other)
    else:
        _tell(problems, other)
    if summary["ok"]:
        names = summary["clients"]
        listed = ", ".join(map(str, names)) if isinstance(names, list) else ""
        # Annotations are the data there; anything else on stdout would be noise in the workflow's log.
        click.echo(f"{summary['folder']}: ok, clients {listed}", err=form == "github")
        _tell_packages("provider types of other packages", summary.get("packages"))
        _tell_packages("ignored, because loomwire has its own", summary.get("ignored"))
        return
    codes = [problem.code for problem in problems] + ([other.code] if other else [])
    count = f"{len(codes)} problem{'s' if len(codes) > 1 else ''}"
    click.echo(f"{summary['folder']}: {count}; to read more: loomwire explain {codes[0]}", err=True)


def _tell_packages(what: str, further: JSON) -> None:
    if isinstance(further, dict):
        whose = ", ".join(f"{name} (of {package})" for name, package in further.items())
        click.echo(f"{what}: {whose}", err=True)


def _dump(problems: tuple[Problem, ...], other: ConfigError | None, summary: dict[str, JSON]) -> None:
    from loomwire.cli.output import problem_json, show_json

    found: list[JSON] = [problem_json(problem) for problem in problems]
    if other is not None:
        found.append(other.to_dict())
    show_json({"schema": "loomwire/check/1", **summary, "problems": found})


def _tell(problems: tuple[Problem, ...], other: ConfigError | None) -> None:
    from loomwire.cli.output import show_block, show_error

    for problem in problems:
        show_block(problem.render())
        click.echo(err=True)
    if other is not None:
        show_error(other)
