"""`loomwire config`: look at a configuration, and at what an edit changes."""

from __future__ import annotations

import click

from loomwire.cli.configuring.diff import diff
from loomwire.cli.configuring.history import history, rollback
from loomwire.cli.configuring.show import show
from loomwire.cli.configuring.watch import watch


@click.group(short_help="Look at a configuration: what is in force, and why.")
def config() -> None:
    """Look at a configuration: what is in force and why, and what another one would change."""


for _command in (diff, history, rollback, show, watch):
    config.add_command(_command)
