"""`loomwire models`: what is known of models, configured ones and others, and who says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import click

from loomwire.cli.lazy import LazyGroup


class ModelsGroup(LazyGroup):
    """The commands of `loomwire models`."""

    places: ClassVar[Mapping[str, str]] = {
        "list": "loomwire.cli.models.listing:list_models",
        "probe": "loomwire.cli.models.probing",
        "refresh": "loomwire.cli.models.probing",
        "search": "loomwire.cli.models.searching",
        "show": "loomwire.cli.models.showing",
    }


@click.group(cls=ModelsGroup)
def models() -> None:
    """Look at models: those of a configuration, and those of the catalogue."""
