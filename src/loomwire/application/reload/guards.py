"""What an edit may not do without being told that it may: remove much at once, as a file that was cut off does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from loomwire.domain.config import Snapshot
from loomwire.domain.reports.problems import Problem

GUARDED_FROM: Final = 4
"""Clients: with fewer, removing most of them is an ordinary edit."""

_HINT = "Set `defaults.reload.allow_shrink: true`, or call reload(allow_shrink=True), if that is meant."


def shrinkage(before: Snapshot, after: Snapshot) -> Iterator[Problem]:
    """Yield why a configuration looks like a part of itself.

    A budget that goes belongs here too, once there are budgets.
    """
    gone = sorted(before.clients.keys() - after.clients.keys())
    if len(before.clients) >= GUARDED_FROM and 2 * len(gone) > len(before.clients):
        some = ", ".join(gone[:3]) + (", ..." if len(gone) > 3 else "")
        message = f"the edit removes {len(gone)} of {len(before.clients)} clients ({some})"
        yield Problem("shrink_refused", message, "clients", hint=_HINT)
    if before.sealed and not after.sealed:
        message = "`end: true` is gone: the file may be cut off"
        yield Problem("shrink_refused", message, "end", file=after.files[0] if after.files else None, hint=_HINT)
