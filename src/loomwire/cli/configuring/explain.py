"""`loomwire explain key`: where a value came from, step by step, and what its key means."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loomwire.cli.configuring.documents import answer_json, value_json
from loomwire.cli.configuring.opening import complete_keys, config_option
from loomwire.cli.output import json_flag

if TYPE_CHECKING:
    from loomwire.domain.values import JSON
    from loomwire.infrastructure.configuration.origins.keys import KeyFacts, KeyPath
    from loomwire.infrastructure.configuration.origins.origins import Answer, Origins

_LABEL = 13


@click.command(short_help="Say where a value of the configuration came from.")
@click.argument("path", shell_complete=complete_keys)
@config_option
@json_flag
def key(path: str, config: Path, *, as_json: bool) -> None:
    """Say what the key PATH means, what it is, and who was asked for it: files, variables, defaults.

    PATH is written with dots: clients.planner.timeouts.total. It need not be set, and the section may be left
    out: planner.timeouts.total. Exit code 0, 2 when there is no such key or several, 3 when there is no valid
    configuration.
    """
    from loomwire.cli.configuring.opening import key_path, opened
    from loomwire.cli.output import show_json

    origins = opened(config).origins
    where = key_path(path, origins)
    facts = origins.facts(where)
    if facts.kind != "value" and origins.below(where):
        _show_block(where, facts, origins, config, as_json=as_json)
    elif as_json:
        show_json({"schema": "loomwire/explain-key/1", "path": ".".join(where), **_facts(where, facts, origins)})
    else:
        _show(where, facts, origins, config)


def _facts(where: KeyPath, facts: KeyFacts, origins: Origins) -> dict[str, JSON]:
    answers = origins.answers(where)
    first = next(answer for answer in answers if answer.said)
    steps: list[JSON] = [
        {
            "path": ".".join(answer.key),
            "said": answer.said,
            "value": answer.value,
            "in_force": answer is first,
            **answer_json(answer),
        }
        for answer in answers
    ]
    return {
        "value": first.value,
        "secret": first.secret,
        "override": _variable(where, facts),
        **_meaning(facts),
        "steps": steps,
    }


def _meaning(facts: KeyFacts) -> dict[str, JSON]:
    allowed: list[JSON] = [*facts.allowed]
    return {
        "description": facts.description or None,
        "unit": facts.unit,
        "default": facts.default,
        "required": facts.required,
        "allowed": allowed,
        "in_force": facts.in_force,
    }


def _variable(where: KeyPath, facts: KeyFacts) -> str | None:
    """Return the variable that would override a key; lists and blocks have none."""
    if facts.kind != "value" or isinstance(facts.default, list):
        return None
    return "LOOMWIRE__" + "__".join(step.upper().replace("-", "_") for step in where)


def _show(where: KeyPath, facts: KeyFacts, origins: Origins, root: Path) -> None:
    from loomwire.cli.configuring.words import origin_words, value_words

    unit = facts.unit
    answers = origins.answers(where)
    first = next(answer for answer in answers if answer.said)
    click.echo(f"{click.style('.'.join(where), bold=True)} = {value_words(first.value, unit)}")
    for label, text in _notes(where, facts):
        _line(label, text)
    _line("comes from", origin_words(first, where, root))
    click.echo("  asked, the strongest first:")
    for answer in answers:
        mark = click.style("=>", bold=True) if answer is first else "  "
        click.echo(f"  {mark} {_step(answer, where, root, unit)}")


def _notes(where: KeyPath, facts: KeyFacts) -> Iterator[tuple[str, str]]:
    from loomwire.cli.configuring.words import value_words

    if not facts.description:
        return
    yield "means", facts.description
    if not facts.in_force:
        yield "in force", "no, this release does not act on it yet"
    yield "default", "none, it must be there" if facts.required else value_words(facts.default, facts.unit)
    if facts.unit is not None:
        yield "unit", facts.unit
    if facts.allowed:
        yield "may be", ", ".join(facts.allowed)
    variable = _variable(where, facts)
    if variable is not None:
        yield "override", f"with the environment variable {variable}"


def _step(answer: Answer, where: KeyPath, root: Path, unit: str | None) -> str:
    from loomwire.cli.configuring.words import origin_words, value_words

    if not answer.said:
        return f"{'.'.join(answer.key)}: nobody says anything"
    if answer.kind == "default":
        return f"default: {value_words(answer.value, unit)}"
    return f"{origin_words(answer, where, root)} says {value_words(answer.value, unit)}"


def _line(label: str, text: str) -> None:
    from loomwire.cli.configuring.words import width

    lines = textwrap.wrap(text, width() - _LABEL - 2, break_long_words=False, break_on_hyphens=False) or [""]
    click.echo(f"  {label + ':':<{_LABEL}}" + f"\n{'':{_LABEL + 2}}".join(lines))


def _show_block(where: KeyPath, facts: KeyFacts, origins: Origins, root: Path, *, as_json: bool) -> None:
    from loomwire.cli.configuring.show import listed, show_values
    from loomwire.cli.output import show_json

    values = listed(origins, where, everything=True)
    if as_json:
        below: list[JSON] = [value_json(value, origins) for value in values]
        show_json({"schema": "loomwire/explain-key/1", "path": ".".join(where), **_meaning(facts), "values": below})
        return
    click.echo(click.style(".".join(where), bold=True))
    _line("means", facts.description)
    click.echo()
    show_values(values, origins, root)
