"""What the commands that operate have in common: which processes run, and what they say."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loomwire.domain.errors import LoomError
    from loomwire.domain.values import JSON
    from loomwire.infrastructure.control.protocol import Answer

folder_argument = click.argument(
    "config", metavar="[DIR]", required=False, type=click.Path(path_type=Path), default=Path("config")
)
"""The configuration folder, as of `loomwire check`; named as the option that completion looks for."""

socket_option = click.option(
    "--socket",
    type=click.Path(path_type=Path),
    default=None,
    help="What `control.socket` says, when the configuration cannot be read now.",
)
"""The option of every command that asks running processes."""

SWITCH_ON: Final = "Put `control: {socket: run/loomwire.sock}` into the configuration; a running process takes it up."
"""What lets a process be asked."""

_SOME_FAILED: Final = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """What running processes said.

    Attributes:
        named: The configured socket, or None.
        answers: Of every process that could do what was asked.
        refused: Of the others.
        silent: The sockets of those that said nothing.
    """

    named: Path | None
    answers: tuple[Answer, ...] = ()
    refused: tuple[Answer, ...] = ()
    silent: tuple[Path, ...] = ()


def ask(config: Path, named: Path | None, do: str, **values: JSON) -> Asked:
    """Ask every process that runs on a configuration.

    Args:
        config: The folder.
        named: The socket, when it is not to be read from there.
        do: The operation.
        values: What it takes.

    Raises:
        ConfigRejectedError: The configuration has problems, so nobody can know where its socket is.
    """
    from loomwire.cli.configuring.opening import load
    from loomwire.infrastructure.control.client import ask_all
    from loomwire.infrastructure.control.protocol import Question

    if named is None:
        said = load(config).control_socket
        named = None if said is None else Path(said)
    if named is None:
        return Asked(None)
    heard = ask_all(named, Question(do, values))
    for path in heard.silent:
        click.echo(f"somebody listens at {path} and did not answer", err=True)
    did = tuple(answer for answer in heard.answers if answer.error is None)
    return Asked(named, did, tuple(answer for answer in heard.answers if answer.error is not None), heard.silent)


def operate(config: Path, named: Path | None, do: str, **values: JSON) -> Asked:
    """Have every running process do something; return what they said, of which at least one did.

    Raises:
        LoomError: None did: the first one's reason, or that none runs, and how one can be asked.
    """
    asked = ask(config, named, do, **values)
    if asked.answers:
        return asked
    errors = [answer.error for answer in asked.refused if answer.error is not None]
    raise errors[0] if errors else nobody(config, asked.named)


def end(asked: Asked) -> None:
    """Say who did not do what was asked, and exit with 8 when there is somebody."""
    for answer in asked.refused:
        click.echo(f"process {answer.pid} ({answer.program}) did not: {answer.error}", err=True)
    if asked.refused or asked.silent:
        raise click.exceptions.Exit(_SOME_FAILED)


@contextmanager
def quiet() -> Generator[None, None, None]:
    """Keep the library's log lines out of the way: what they tell is shown, and longer."""
    silence = logging.NullHandler()
    logging.getLogger("loomwire").addHandler(silence)
    try:
        yield
    finally:
        logging.getLogger("loomwire").removeHandler(silence)


def nobody(config: Path, named: Path | None) -> LoomError:
    """Return the error for a configuration on which no process can be asked; not raised."""
    from loomwire.domain.errors import LoomError

    if named is None:
        message = f"only running processes know, and those of {config} cannot be asked: `control` is off"
        return LoomError(message, reason="no_process", hint=SWITCH_ON)
    message = f"no process listens at {named.with_name(f'{named.stem}-*{named.suffix}')}"
    hint = f"Start one that opens {config} and watches it: LLMContainer.open does, with watch=False it does not."
    return LoomError(message, reason="no_process", hint=hint)


def processes(answers: Sequence[Answer]) -> list[JSON]:
    """Return what processes said as JSON."""
    return [{"pid": answer.pid, "program": answer.program, **(answer.said or {})} for answer in answers]


def title(answer: Answer) -> str:
    """Return which process it is, as a heading."""
    return click.style(f"process {answer.pid}", bold=True) + f" ({answer.program})"


def rows(said: Mapping[str, JSON] | None, name: str) -> list[Mapping[str, JSON]]:
    """Return the objects of a list in what a process said."""
    found = None if said is None else said.get(name)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
