"""`loomwire ask`: one question to a named client."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from loomwire.container.facade import LLMContainer
    from loomwire.domain.ports.client import LLMStream
    from loomwire.domain.requests import LLMRequest
    from loomwire.domain.responses import LLMResponse
    from loomwire.domain.values import JSON

_BYTES_PER_TOKEN = 4  # for display only: UTF-8 bytes per token of English text


@click.command()
@click.argument("alias")
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
@click.option("--json", "as_json", is_flag=True, help="Print the answer with usage, cost and steps as JSON.")
@click.pass_context
def ask(ctx: click.Context, /, alias: str, text: str, **_options: object) -> None:
    """Ask the client ALIAS; TEXT may be `-` for standard input. The answer goes to stdout, the rest to stderr."""
    import asyncio  # 15 ms that `loomwire --help` need not pay

    request = _request(ctx, text)
    asyncio.run(_ask(ctx, alias, request))


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
        _stdin() if text == "-" else text,
        system=options["system"],
        parameters=Parameters(max_tokens=options["max_tokens"]),
        output=output,
        deadline_s=options["timeout"],
    )


def _stdin() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError:
        raise click.BadParameter("standard input is not text in UTF-8", param_hint="TEXT") from None


async def _ask(ctx: click.Context, alias: str, request: LLMRequest) -> None:
    from loomwire.container.facade import LLMContainer

    options = ctx.params
    async with LLMContainer.aopen(options["config"], watch=False) as container:
        if options["dry_run"]:
            _dry_run(container, alias, request, as_json=options["as_json"])
            return
        client = container.llm_client(alias)
        if options["streamed"]:
            response = await _read(client.stream(request), as_json=options["as_json"])
        else:
            response = await client.generate(request)
    _show_answer(response, request, as_json=options["as_json"], streamed=options["streamed"])


async def _read(streaming: AbstractAsyncContextManager[LLMStream], *, as_json: bool) -> LLMResponse[str]:
    async with streaming as stream:
        async for event in stream:
            _show_event(event, as_json=as_json)
    if not as_json:
        click.echo()
    return stream.response


def _show_event(event: object, *, as_json: bool) -> None:
    from loomwire.cli.output import show_json
    from loomwire.domain.events import TextDelta

    if not isinstance(event, TextDelta):
        return
    if as_json:
        show_json({"schema": "loomwire/delta/1", "text": event.text}, one_line=True)
    else:
        click.echo(event.text, nl=False)


def _show_answer(response: LLMResponse[str], request: LLMRequest, *, as_json: bool, streamed: bool) -> None:
    from loomwire.cli.output import show_json
    from loomwire.domain.errors import OutputInvalidError
    from loomwire.domain.pricing import Cost

    if as_json:
        show_json(response.to_dict(), one_line=streamed)
    elif not streamed:
        click.echo(response.text)
    if request.output is not None:
        try:
            json.loads(response.text)
        except ValueError:
            raise OutputInvalidError("the answer is not JSON", problems=("$: not JSON",), text=response.text) from None
    usage = response.usage
    cost = f"{response.cost.usd} USD" if isinstance(response.cost, Cost) else "cost unknown"
    tokens = f"{usage.input_tokens} in, {usage.output_tokens} out" if usage.known else "usage unknown"
    click.echo(f"{response.provider}/{response.model}: {tokens}, {cost}, finish {response.finish}", err=True)


def _dry_run(container: LLMContainer, alias: str, request: LLMRequest, *, as_json: bool) -> None:
    from loomwire.cli.output import show_json

    size = sum(len(message.text.encode()) for message in request.messages)
    facts: dict[str, JSON] = {
        "schema": "loomwire/dry-run/1",
        "client": alias,
        "chain": repr(container.llm_client(alias)),
        "messages": len(request.messages),
        "input_tokens_about": -(-size // _BYTES_PER_TOKEN),
        "max_tokens": request.parameters.max_tokens,
        "structured": request.output is not None,
    }
    if as_json:
        show_json(facts)
        return
    words = {None: "not set", True: "yes", False: "no"}
    for name, value in facts.items():
        if name != "schema":
            shown = words[value] if value is None or isinstance(value, bool) else value
            click.echo(f"{name.replace('_', ' ')}: {shown}")
    click.echo("nothing was sent", err=True)
