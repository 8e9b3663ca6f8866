"""`loomwire typegen`: a Python module with the names of the clients, so that a wrong one is a type checker's error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loomwire.cli.configuring.opening import config_option
from loomwire.cli.output import json_flag

if TYPE_CHECKING:
    from loomwire.domain.values import JSON

_MODULE = '''"""The clients of the configuration, written by `loomwire typegen`: do not edit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar

from loomwire import ILLMClient, LLMContainer, SyncLLMClient, TypedLLMClient

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")

ClientName: TypeAlias = Literal[
{literals}
]
"""The name of a client that is configured."""

CLIENT_NAMES: Final[tuple[ClientName, ...]] = (
{literals}
)
"""All of them, sorted."""


def llm_client(container: LLMContainer, name: ClientName) -> ILLMClient:
    """Return a client by a name that type checkers know."""
    return container.llm_client(name)


def sync_client(container: LLMContainer, name: ClientName) -> SyncLLMClient:
    """Return the blocking twin of a client, for code outside event loops."""
    return container.sync_client(name)


def typed_client(
    container: LLMContainer,
    output: TypeForm[T],
    name: ClientName,
) -> TypedLLMClient[T]:
    """Return a client whose answer is a validated `output`."""
    return container.typed(output, name)
'''

_STATES = {True: "written", False: "unchanged"}


class _StaleError(click.ClickException):
    """The file is not what would be written."""

    exit_code = 1


@click.command(short_help="Write the names of the clients as a Python type.")
@config_option
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=None, help="The file to write; else stdout."
)
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 when the file of --out is stale or missing.")
@json_flag
def typegen(config: Path, out: Path | None, *, check: bool, as_json: bool) -> None:
    """Write a Python module with `ClientName`, the names of all clients as a `Literal`, and functions that take it.

    `llm_client(container, "planer")` is then an error of mypy and pyright, and not of a Monday. The same clients give
    the same file. Exit code 0; 1 with --check when the file is stale; 3 when there is no valid configuration.
    """
    from loomwire.cli.configuring.opening import load
    from loomwire.cli.output import show_json

    if check and out is None:
        raise click.BadParameter("there is no file to check; name it with --out", param_hint="--check")
    names = sorted(load(config).clients)
    text = module_text(names)
    if out is None:
        if as_json:
            show_json({**_facts(names, None), "written": False, "text": text})
        else:
            click.echo(text, nl=False)
        return
    written = not _holds(out, text)
    if written and check:
        raise _StaleError(f"{out} is stale; write it with: loomwire typegen --config {config} --out {out}")
    if written:
        _write(out, text)
    if as_json:
        show_json({**_facts(names, out), "written": written})
        return
    click.echo(f"{out}: {len(names)} clients, {_STATES[written]}", err=True)


def _facts(names: Sequence[str], out: Path | None) -> dict[str, JSON]:
    return {"schema": "loomwire/typegen/1", "clients": [*names], "out": None if out is None else str(out)}


def module_text(names: Iterable[str]) -> str:
    """Return the text of the module for some clients, in the order given."""
    return _MODULE.format(literals="\n".join(f"    {json.dumps(name)}," for name in names))


def _write(out: Path, text: str) -> None:
    try:
        out.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        why = f"{out} cannot be written: {error.strerror or error}"
        raise click.BadParameter(why, param_hint="--out") from None


def _holds(file: Path, text: str) -> bool:
    try:
        return file.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False
