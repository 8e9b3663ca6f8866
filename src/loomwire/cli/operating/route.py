"""`loomwire explain route`: whom a client would ask, in which order, and why the others not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from loomwire.cli.ask import complete_clients
from loomwire.cli.operating.asking import folder_argument, socket_option
from loomwire.cli.output import json_flag

if TYPE_CHECKING:
    from loomwire.domain.values import JSON
    from loomwire.infrastructure.control.protocol import Answer

PRIORITIES: Final = ("balanced", "cost", "speed", "quality")
"""Those of a request, which takes a while to import."""

_HEAD: Final = ("", "target", "cost", "window", "in flight", "latency", "why")
_MOST_TOKENS: Final = 10_000_000


@click.command(short_help="Say whom a client would ask, and why.")
@click.argument("alias", shell_complete=complete_clients)
@folder_argument
@click.option("--tools", is_flag=True, help="The request has tools.")
@click.option("--vision", is_flag=True, help="The request has a picture.")
@click.option("--json-schema", is_flag=True, help="The answer has a schema.")
@click.option("--stream", is_flag=True, help="The answer is streamed.")
@click.option("--in-tokens", type=click.IntRange(0, _MOST_TOKENS), default=0, help="Tokens of the input.")
@click.option("--max-tokens", type=click.IntRange(1, _MOST_TOKENS), default=None, help="Upper bound of output tokens.")
@click.option("--priority", type=click.Choice(PRIORITIES), default="balanced", help="Of the request.")
@socket_option
@json_flag
@click.pass_context
def route(ctx: click.Context, /, alias: str, config: Path, socket: Path | None, **_needs: object) -> None:
    """Say whom the client ALIAS of DIR (default: config) would ask, in which order, and why. Sends nothing.

    Processes that run on DIR are asked when `control.socket` is set there: they know circuits, rests and latencies.
    Exit code 0, 3 when there is no such client or no valid configuration.
    """
    from loomwire.cli.operating.asking import ask, processes
    from loomwire.cli.output import show_json

    names = ("tools", "vision", "json_schema", "stream", "in_tokens", "max_tokens", "priority")
    needs: dict[str, JSON] = {name: ctx.params[name] for name in names}
    asked = ask(config, socket, "route", client=alias, needs=needs)
    answers = asked.answers or (_own(config, alias, needs),)
    if ctx.params["as_json"]:
        live = bool(asked.answers)
        said: dict[str, JSON] = {"schema": "loomwire/route/1", "live": live, "needs": needs}
        show_json({**said, "processes": processes(answers)})
        return
    for answer in answers:
        _show(answer, is_own=not asked.answers)
    if not asked.answers:
        click.echo("of a process that has just begun: no circuit, rest or latency is known here", err=True)


def _own(config: Path, alias: str, needs: dict[str, JSON]) -> Answer:
    """Say what a process that has just begun would do."""
    import asyncio

    from loomwire.container.facade import LLMContainer
    from loomwire.container.operating import operations
    from loomwire.infrastructure.control.protocol import own_answer

    with LLMContainer.open(config, watch=False) as container:
        return own_answer(said=asyncio.run(operations.route(container, {"client": alias, "needs": needs})))


def _show(answer: Answer, *, is_own: bool) -> None:
    from loomwire.cli.operating.asking import rows, title
    from loomwire.cli.operating.words import columns, show_table

    said = answer.said or {}
    if not is_own:
        click.echo(title(answer))
    kept, dropped = rows(said, "kept"), rows(said, "dropped")
    lines = [_kept(number, row) for number, row in enumerate(kept, 1)]
    lines += [("-", str(row["target"]), "", _window(row), "", "", f"not asked: {_because(row)}") for row in dropped]
    show_table(_HEAD, lines, width=columns())
    panic = "; all circuits are open, so only the first is tried, now and then" if said.get("panic") else ""
    click.echo(f"rule: {said.get('rule')}{panic}", err=True)


def _kept(number: int, row: Mapping[str, JSON]) -> tuple[str, ...]:
    from loomwire.cli.operating.words import seconds

    cost, latency = row["cost_usd"], row["latency_s"]
    return (
        str(number),
        str(row["target"]),
        "unknown" if cost is None else "free" if not cost else f"{cost:.6f} USD",
        _window(row),
        str(row["in_flight"]),
        # Of one that fails it is what its failures were booked at.
        "" if latency is None or row["failures"] else seconds(latency),
        ", ".join(_notes(row)),
    )


def _notes(row: Mapping[str, JSON]) -> Iterator[str]:
    if row["remark"]:
        yield str(row["remark"])
    if row["failures"]:
        yield f"{row['failures']} failure{'' if row['failures'] == 1 else 's'} in a row"
    for ability, fact in _abilities(row):
        # Kept although it is known to have none: they go by prompt.
        is_emulated = ability == "tools" and fact.get("value") is False
        yield "tools by prompt" if is_emulated else f"{ability} {_word(fact)}"


def _because(row: Mapping[str, JSON]) -> str:
    sources = [f"{ability} {_word(fact)}" for ability, fact in _abilities(row) if fact.get("value") is False]
    words = ", ".join(sources)
    return f"{row['reason']}{f' ({words})' if words else ''}"


def _abilities(row: Mapping[str, JSON]) -> Iterator[tuple[str, Mapping[str, JSON]]]:
    for ability in ("tools", "vision", "json_schema", "streaming"):
        fact = row.get(ability)
        if isinstance(fact, dict):
            yield ability, fact


def _word(fact: Mapping[str, JSON]) -> str:
    value = fact.get("value")
    return "not known" if value is None else f"{'yes' if value else 'no'} ({fact.get('source')})"


def _window(row: Mapping[str, JSON]) -> str:
    fact = row["context_window"]
    value = fact.get("value") if isinstance(fact, dict) else None
    return f"{value:,}" if isinstance(value, int) else "unknown"
