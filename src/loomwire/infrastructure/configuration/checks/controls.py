"""The control socket: a path that is too long for one, and systems that have no such sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from loomwire.domain.reports.problems import Problem
from loomwire.infrastructure.configuration.files import absolute
from loomwire.infrastructure.configuration.scalars import Plain
from loomwire.infrastructure.configuration.tree import ConfigTree


def control_problems(
    tree: ConfigTree,
    values: Mapping[str, Plain],
    folder: Path,
    *,
    has_sockets: bool = hasattr(socket, "AF_UNIX"),
) -> Iterator[Problem]:
    """Yield what keeps processes from listening at the control socket.

    Args:
        tree: Knows the places.
        values: The whole configuration; it need not be valid.
        folder: The configuration's folder, as seen from which the socket is.
        has_sockets: Whether this system has unix sockets.
    """
    block = values.get("control")
    named = block.get("socket") if isinstance(block, Mapping) else None
    path = ("control", "socket")
    if not isinstance(named, str) or not named or path in tree.failed:
        return
    from loomwire.infrastructure.control.places import LONGEST, is_too_long

    if not has_sockets:
        hint = "Nothing else fails; nobody can ask a process here."
        yield tree.problem("not_in_force", "this system has no unix sockets", path, severity="warning", hint=hint)
    elif is_too_long(Path(absolute(folder / named))):
        hint = "Name a shorter path from the root, such as /run/app/loomwire.sock."
        wrong = f"is too long for a socket, which has at most {LONGEST} bytes with the process id"
        yield tree.problem("out_of_range", wrong, path, hint=hint)
