"""Groups of commands that are imported when they are used, so that `--help` stays instant."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import ClassVar

import click
from typing_extensions import override


class LazyGroup(click.Group):
    """A group whose commands live in modules of their own.

    Attributes:
        places: The names of the commands, each with its module and, behind a colon, what it is called there.
    """

    places: ClassVar[Mapping[str, str]] = {}

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.places)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = self.places.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command: click.Command = getattr(import_module(module), name or cmd_name)
        return command
