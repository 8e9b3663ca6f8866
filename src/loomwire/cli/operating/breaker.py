"""`loomwire breaker`: the circuits of running processes, and what an operator decides about them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from loomwire.cli.operating.asking import Asked, folder_argument, socket_option
from loomwire.cli.output import json_flag

if TYPE_CHECKING:
    from loomwire.domain.values import JSON

_HEAD: Final = ("circuit", "state", "since", "asked again", "failed", "why")


@click.group(short_help="Look at the circuits of running processes, close and open them.")
def breaker() -> None:
    """Look at the circuits of running processes, close and open them.

    A circuit keeps calls away from a model that fails, and lives in the process that calls: `control.socket` in the
    configuration lets this command ask it.
    """


def complete_circuits(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the providers and targets of a configuration that begin so; none while it is not valid."""
    from loomwire.cli.configuring.opening import load
    from loomwire.domain.errors import ConfigError

    try:
        snapshot = load(ctx.params.get("config") or Path("config"))
    except ConfigError:
        return []
    targets = [target for client in snapshot.clients.values() for target in client.targets]
    names = {target.name for target in targets} | {target.target for target in targets}
    return sorted(name for name in names if name.startswith(incomplete))


name_argument = click.argument("name", shell_complete=complete_circuits)


@breaker.command("list", short_help="Show every circuit.")
@folder_argument
@socket_option
@json_flag
def list_circuits(config: Path, socket: Path | None, *, as_json: bool) -> None:
    """Show every circuit of the processes that run on DIR (default: config): its state, since when, and why.

    Exit code 0, 3 when the configuration is not valid, 6 when no process can be asked.
    """
    from loomwire.cli.operating.asking import operate

    _show(operate(config, socket, "breakers"), as_json=as_json)


@breaker.command(short_help="Close a circuit and forget what it counted.")
@name_argument
@folder_argument
@socket_option
@json_flag
def reset(name: str, config: Path, socket: Path | None, *, as_json: bool) -> None:
    """Close the circuit NAME in every process that runs on DIR (default: config), and forget what it counted.

    NAME is provider/model, whose provider's circuit is closed too, or a provider, with all its models; `all` is every
    circuit. Exit code 0, 3 when there is no such circuit or no valid configuration, 6 when no process can be asked, 8
    when one of them did not do it.
    """
    from loomwire.cli.operating.asking import operate

    chosen = None if name == "all" else name
    _show(operate(config, socket, "reset", name=chosen), as_json=as_json, name=chosen)


@breaker.command(short_help="Open a circuit, so that nothing is sent there.")
@name_argument
@folder_argument
@click.option(
    "--for",
    "for_s",
    type=click.FloatRange(min=0, min_open=True, max=7 * 86_400),
    default=None,
    help="For so many seconds; then a few calls try whether it is well. Without it: until `breaker reset`.",
)
@socket_option
@json_flag
def trip(name: str, config: Path, for_s: float | None, socket: Path | None, *, as_json: bool) -> None:
    """Open the circuit NAME in every process that runs on DIR (default: config), so that nothing is sent there.

    NAME is provider/model, or a provider with all its models. Calls go to the other models of their clients, or fail
    with CIR001. Exit code 0, 3 when there is no such circuit or no valid configuration, 6 when no process can be
    asked, 8 when one of them did not do it.
    """
    from loomwire.cli.operating.asking import operate

    _show(operate(config, socket, "trip", name=name, for_s=for_s), as_json=as_json, name=name)


def _show(asked: Asked, *, as_json: bool, name: str | None = None) -> None:
    from loomwire.cli.operating.asking import end, processes, rows, title
    from loomwire.cli.operating.words import columns, show_table
    from loomwire.cli.output import show_json

    if as_json:
        show_json({"schema": "loomwire/breakers/1", "processes": processes(asked.answers)})
    for answer in () if as_json else asked.answers:
        click.echo(title(answer))
        circuits = [row for row in rows(answer.said, "circuits") if name is None or _concerns(name, str(row["name"]))]
        show_table(_HEAD, [_line(row) for row in circuits], states=1, width=columns())
    end(asked)


def _concerns(name: str, circuit: str) -> bool:
    return circuit == name or circuit.startswith(f"{name}/")


def _line(row: Mapping[str, JSON]) -> tuple[str, ...]:
    from loomwire.cli.operating.words import seconds

    is_closed = row["state"] == "closed"
    wait = row["retry_after_s"]
    again = "" if is_closed else "unknown" if wait is None else f"in {seconds(wait)}" if wait else "now"
    if row["hold"]:
        again = "when reset"
    return (
        str(row["name"]),
        str(row["state"]),
        seconds(row["since_s"]),
        again,
        f"{row['failures']} of {row['calls']}",
        _why(row),
    )


def _why(row: Mapping[str, JSON]) -> str:
    said = {
        "consecutive": "failed many times in a row",
        "failure_rate": "too many calls failed",
        "slow_rate": "too many calls were slow",
        "probe_failed": "failed again when it was tried",
        "models_open": "its models fail",
        "forced": "an operator decided so",
        "isolated": "an operator decided so",
        "recovered": "is well again",
        "model_recovered": "one of its models is well again",
        "reset": "an operator reset it",
    }
    reason, error = str(row["reason"]), str(row["error"])
    why = said.get(reason, reason)
    return f"{why}, last with {error}" if error and row["state"] != "closed" else why
