"""`loomwire ask`: one question to a named client."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loomwire.cli.answers import show_answer, show_event, show_request
from loomwire.cli.output import json_flag

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from loomwire.container.facade import LLMContainer
    from loomwire.domain.ports.client import LLMStream
    from loomwire.domain.requests import LLMRequest
    from loomwire.domain.responses import LLMResponse

_COMPLETED_BYTES = 256 * 1024  # of one file: about 50 ms of reading


def complete_clients(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of clients that begin so, as the files spell them; none when they cannot be read.

    Nothing is resolved, checked or sent: a shell waits for this at every press of the tab key.
    """
    from loomwire.infrastructure.configuration.files import CONFIG_SUFFIXES, UnreadableError

    root: Path = ctx.params.get("config") or Path("config")
    try:
        files = [path for path in root.iterdir() if path.suffix.lower() in CONFIG_SUFFIXES] if root.is_dir() else [root]
        names = {name for file in files for name in _clients_in(file)}
    except (OSError, UnreadableError):
        return []
    return sorted(name for name in names if name.startswith(incomplete))


def _clients_in(file: Path) -> Iterable[str]:
    from loomwire.infrastructure.configuration.files import read_regular
    from loomwire.infrastructure.configuration.scalars import Flaw, decode
    from loomwire.infrastructure.configuration.yaml_tree import Table, read_tree

    text = decode(read_regular(file, _COMPLETED_BYTES))
    tree = None if isinstance(text, Flaw) else read_tree(text)[0]
    clients = tree.below.get("clients") if isinstance(tree, Table) else None
    return clients.plain if isinstance(clients, Table) else ()


@click.command(short_help="Ask a client one question.")
@click.argument("alias", shell_complete=complete_clients)
@click.argument("text")
@click.option("--config", type=click.Path(path_type=Path), default=Path("config"), help="The configuration folder.")
@click.option("--stream", "streamed", is_flag=True, help="Print words as they come.")
@click.option(
    "--schema",
    "schema_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A JSON Schema file: the provider is asked for such an object, and the answer must be JSON.",
)
@click.option("--system", default=None, help="Instructions for the model.")
@click.option("--max-tokens", type=click.IntRange(min=1), default=None, help="Upper bound of output tokens.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=None, help="Seconds for the call.")
@click.option("--dry-run", is_flag=True, help="Say what would be asked of whom; send nothing.")
@json_flag
@click.pass_context
def ask(ctx: click.Context, /, alias: str, text: str, **_options: object) -> None:
    """Ask the client ALIAS; TEXT may be `-` for standard input. The answer goes to stdout, the rest to stderr.

    With --stream --json, every line is a JSON document: the pieces, then the whole answer or the error.
    """
    import asyncio  # 15 ms that `loomwire --help` need not pay

    # Here and not on the event loop, which the import would stop.
    from loomwire.container.facade import LLMContainer

    opening = LLMContainer.aopen(ctx.params["config"], watch=False)
    asyncio.run(_ask(ctx, opening, alias, _request(ctx, text)))


def _request(ctx: click.Context, text: str) -> LLMRequest:
    from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters

    options = ctx.params
    schema_file: Path | None = options["schema_file"]
    output = None
    if schema_file is not None:
        try:
            schema = json.loads(schema_file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise click.BadParameter(f"{schema_file} is not JSON: {error}", param_hint="--schema") from None
        output = OutputSpec(schema=schema)
    return LLMRequest.of(
        _text(_stdin() if text == "-" else text, "TEXT"),
        system=options["system"] and _text(options["system"], "--system"),
        parameters=Parameters(max_tokens=options["max_tokens"]),
        output=output,
        deadline_s=options["timeout"],
    )


def _stdin() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        return error.object.decode(errors="surrogateescape")


def _text(words: str, name: str) -> str:
    # Where the locale is C, as in many containers, Python lets bytes that are no text through as lone surrogates.
    try:
        words.encode()
    except UnicodeEncodeError:
        raise click.BadParameter("this is not text in UTF-8", param_hint=name) from None
    return words


async def _ask(
    ctx: click.Context, opening: AbstractAsyncContextManager[LLMContainer], alias: str, request: LLMRequest
) -> None:
    options = ctx.params
    async with opening as container:
        if options["dry_run"]:
            show_request(container, alias, request, as_json=options["as_json"])
            return
        client = container.llm_client(alias)
        if options["streamed"]:
            response = await _read(client.stream(request), as_json=options["as_json"])
        else:
            response = await client.generate(request)
    show_answer(response, request, as_json=options["as_json"], streamed=options["streamed"])


async def _read(streaming: AbstractAsyncContextManager[LLMStream], *, as_json: bool) -> LLMResponse[str]:
    async with streaming as stream:
        async for event in stream:
            show_event(event, as_json=as_json)
    if not as_json:
        click.echo()
    return stream.response
