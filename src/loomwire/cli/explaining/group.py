"""`loomwire explain`: an error code, `key` and a key of the configuration, or `route` and a client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from typing_extensions import override

from loomwire.cli import reference
from loomwire.cli.configuring.explain import key
from loomwire.cli.operating.route import route

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class ExplainGroup(click.Group):
    """A group whose first word may be an error code."""

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # A shell asks with no word yet, and is offered everything.
        if not ctx.resilient_parsing and not {*args[:1]} & {*self.commands, *ctx.help_option_names}:
            args = ["code", *args]
        return super().parse_args(ctx, args)

    @override
    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        return [*super().shell_complete(ctx, incomplete), *reference.complete_codes(ctx, key.params[0], incomplete)]


@click.group(cls=ExplainGroup, short_help="Say what a code means, where a value comes from, whom a client asks.")
def explain() -> None:
    """Say what an error CODE such as CFG010 means, where the value of a key comes from, or whom a client would ask.

    `loomwire explain CFG010` is short for `loomwire explain code CFG010`; `loomwire explain all` lists every code.
    """


explain.add_command(reference.explain, "code")
explain.add_command(key)
explain.add_command(route)
