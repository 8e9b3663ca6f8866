"""The block `control`: where a running process can be asked how it does, and operated."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from loomwire.infrastructure.configuration.files import absolute
from loomwire.infrastructure.configuration.schema.blocks import Block
from loomwire.infrastructure.configuration.schema.entities import Text


class Control(Block):
    """Where `loomwire health`, `breaker` and `explain route` find a running process."""

    socket: Text | None = Field(
        default=None,
        description=(
            "A unix socket as seen from this folder, such as run/loomwire.sock; every process has its own beside it, "
            "with its process id, for its user alone. null is nowhere."
        ),
    )


def control_socket(block: Control, folder: Path) -> str | None:
    """Return beside which path processes listen, from the root of the file system.

    Args:
        block: Valid settings.
        folder: The configuration's folder.
    """
    return None if block.socket is None else absolute(folder / block.socket)
