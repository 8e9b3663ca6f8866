"""The command `loomwire`: a thin shell over the library. Commands are imported when they are used."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import ClassVar, NoReturn

import click
from typing_extensions import override

from loomwire import __version__
from loomwire.cli.lazy import LazyGroup
from loomwire.cli.output import error_json, exit_code, show_error, show_json, wants_json

COMMANDS = {
    "ask": "loomwire.cli.ask",
    "breaker": "loomwire.cli.operating.breaker",
    "cache": "loomwire.cli.operating.cache",
    "check": "loomwire.cli.check",
    "completion": "loomwire.cli.reference",
    "config": "loomwire.cli.configuring.config",
    "demo": "loomwire.cli.demo",
    "explain": "loomwire.cli.explaining.group",
    "health": "loomwire.cli.operating.health",
    "memory": "loomwire.cli.operating.memory",
    "mock": "loomwire.cli.mock",
    "models": "loomwire.cli.models.group",
    "schema": "loomwire.cli.reference",
    "typegen": "loomwire.cli.configuring.typegen",
}


JSON_WANTED = "loomwire.json"


class ReaderLeftError(Exception):
    """Nobody reads our stdout any more. click would make a failure of it, which `loomwire schema | head` is not."""


class Loomwire(LazyGroup):
    """The command as a whole: every failure below ends in words, JSON where that was asked for, and an exit code."""

    places: ClassVar[Mapping[str, str]] = COMMANDS

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[JSON_WANTED] = wants_json(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            _show_as_json(ctx, error)
            raise

    @override
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.Abort):
            raise
        except click.ClickException as error:
            _show_as_json(ctx, error)
            raise
        except BrokenPipeError:
            raise ReaderLeftError from None
        except Exception as error:  # noqa: BLE001  # the last stop: a person sees what to do, not a trace
            # Here and not in `main`, because the choice of colours ends with the context.
            if os.environ.get("LOOMWIRE_DEBUG"):
                traceback.print_exc()
            _show_as_json(ctx, error)
            show_error(error)
            ctx.exit(exit_code(error))


def _show_as_json(ctx: click.Context, error: Exception) -> None:
    # On one line, because a stream of documents may have begun. A person finds the same on stderr.
    if not ctx.meta[JSON_WANTED]:
        return
    try:
        show_json(error_json(error), one_line=True)
    except BrokenPipeError:
        raise ReaderLeftError from None


_NEXT = (
    "New here? `demo` shows all of it in a second. In a folder with `config/`: `check`, then `ask CLIENT QUESTION`. "
    "COMMAND --help tells what a command takes and its exit codes."
)


@click.group(cls=Loomwire, epilog=_NEXT, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="loomwire")
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Colour on a terminal only (auto; NO_COLOR and FORCE_COLOR are obeyed), always, or never.",
)
@click.pass_context
def cli(ctx: click.Context, color: str) -> None:
    """One typed layer between a workflow engine and every LLM."""
    forced = {"always": True, "never": False}.get(color)
    if forced is None and os.environ.get("NO_COLOR"):
        forced = False
    elif forced is None and os.environ.get("FORCE_COLOR"):
        forced = True
    ctx.color = forced


def main(words: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with an exit code.

    Args:
        words: What was typed after `loomwire`; None takes it from the process.

    Raises:
        SystemExit: Always, with 0 ok; 1 internal; 2 usage; 3 configuration invalid; 4 authentication or permission;
            5 budget; 6 no provider could answer; 7 rate limited; 9 request refused as invalid or filtered; 10 timeout;
            130 interrupted.
    """
    try:
        code = cli.main(words, prog_name="loomwire", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except ReaderLeftError:
        # Nothing is left to say, and the interpreter must not say it either when it flushes stdout at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)
