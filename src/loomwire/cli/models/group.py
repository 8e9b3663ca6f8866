"""`loomwire models`: what is known of models, configured ones and others, and who says so."""

from __future__ import annotations

from importlib import import_module

import click
from typing_extensions import override

_COMMANDS = {
    "list": "listing:list_models",
    "probe": "probing:probe",
    "refresh": "probing:refresh",
    "search": "searching:search",
    "show": "showing:show",
}


class ModelsGroup(click.Group):
    """Imports a command when it is used."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = _COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command: click.Command = getattr(import_module(f"loomwire.cli.models.{module}"), name)
        return command


@click.group(cls=ModelsGroup)
def models() -> None:
    """Look at models: those of a configuration, and those of the catalogue."""
