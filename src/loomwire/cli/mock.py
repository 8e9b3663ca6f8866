"""`loomwire mock`: a provider on this machine that misbehaves as a script says."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from loomwire.cli.output import show_json

if TYPE_CHECKING:
    from loomwire.domain.values import JSON
    from loomwire.testing.script.world import Script
    from loomwire.testing.server.provider import FakeProvider

_LOCAL: Final = "127.0.0.1"


class _WordsError(click.ClickException):
    """The port or a file cannot be had: a wrong word on the command line, as far as the user is concerned."""

    exit_code = 2


@click.group(short_help="Play a provider that misbehaves as told.")
def mock() -> None:
    """Play a provider: `serve` answers like one, `faults` lists what can go wrong."""


@mock.command(short_help="Answer like a provider until Ctrl-C.")
@click.option("--script", type=click.Path(path_type=Path), default=None, help="YAML that says who gets what.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Default: a free one.")
@click.option("--host", default=_LOCAL, show_default=True, help="Address to listen on.")
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="With `tls`: where to write the authority that clients must trust.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line: the address, then each request.")
@click.option("-q", "--quiet", is_flag=True, help="No line per request.")
@click.pass_context
def serve(ctx: click.Context, /, script: Path | None, port: int, host: str, **_options: object) -> None:
    """Serve OpenAI chat completions on this machine until Ctrl-C; no model, no key, no cost.

    Without a script every request gets a right answer. The base URL goes to stdout, the rest to stderr. Exit code 0
    after SIGTERM, 130 after Ctrl-C, 2 when the port is taken, 3 when the script has problems.

    \b
    A script, in which the first rule that fits decides:
      seed: 7
      rules:
        - {model: "gpt-*", requests: "1-3,7", error: throttled, retry_after: 2}
        - {chance: 0.1, fault: [cut_reset, hang, stall]}
        - {stream: true, every: 5, status: 503}
      replies:
        - {text: "Hello."}
    """  # noqa: D301 - click's mark for lines that stay as they are
    import asyncio

    from loomwire.testing.script.reading import read_script
    from loomwire.testing.script.world import Script
    from loomwire.testing.server.provider import FakeProvider

    read = Script() if script is None else read_script(script)
    if ctx.params["ca_file"] is not None and read.tls is False:
        raise _WordsError("--ca-file needs a script with `tls`; without it there is no authority to trust")
    provider = FakeProvider(script=read, address=(host, port), keep=0)
    try:
        code = asyncio.run(_serve(ctx, provider, read))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "is in use; without --port a free one is taken" if taken else f"cannot be had: {error.strerror or error}"
        raise _WordsError(f"port {port} of {host} {why}") from None
    ctx.exit(code)


async def _serve(ctx: click.Context, provider: FakeProvider, script: Script) -> int:
    import asyncio
    import signal
    from contextlib import suppress

    from loomwire.cli.mock_log import Log

    stop: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def end(code: int) -> None:
        """End the command with an exit code; the first one holds."""
        if not stop.done():
            stop.set_result(code)

    log = Log(as_json=ctx.params["as_json"], quiet=ctx.params["quiet"], reader_left=lambda: end(0))
    provider.listen(log.request)
    # Windows knows no such handlers; there Ctrl-C ends the command without the table.
    with suppress(NotImplementedError):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 0)):
            asyncio.get_running_loop().add_signal_handler(number, end, code)
    async with provider:
        file: Path | None = ctx.params["ca_file"]
        if file is not None:
            await asyncio.to_thread(_write, file, provider.authority)
        log.started(provider, script, ctx.params["script"])
        code = await stop
    log.ended(provider)
    return code


def _write(file: Path, authority: bytes) -> None:
    try:
        file.write_bytes(authority)
    except OSError as error:
        raise _WordsError(f"{file} cannot be written: {error.strerror or error}") from None


@mock.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON document.")
def faults(*, as_json: bool) -> None:
    """List what `fault:` can say in a script, and what each does."""
    from loomwire.testing.faults.table import FAULTS

    if as_json:
        rows: dict[str, JSON] = {
            name: {"says": row.says, "strikes": row.strikes, "in_script": row.play is not None}
            for name, row in FAULTS.items()
        }
        show_json({"schema": "loomwire/mock-faults/1", "faults": rows})
        return
    wide = max(map(len, FAULTS))
    for name, row in FAULTS.items():
        click.echo(f"{name:{wide}}  {row.says}" + ("" if row.play is not None else f" Not in a script: {row.setup}"))
