"""Keeps every configuration that comes into force in a folder, for `loomwire config history` and `config rollback`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from loomwire.application.reload.changes import changes
from loomwire.infrastructure.history.folder import KEPT, HistoryFolder

if TYPE_CHECKING:
    from collections.abc import Callable

    from loomwire.application.reload.results import Diff
    from loomwire.container.facade import LLMContainer
    from loomwire.domain.config import Snapshot


def keep_history(
    container: LLMContainer, config: str | os.PathLike[str], folder: str | os.PathLike[str], *, keep: int = KEPT
) -> Callable[[], None]:
    """Keep the generations of a container in a folder, beginning with the one in force.

    A generation is its YAML files, those they name, and what it changed. Keys that stand in the YAML itself are in the
    copies, so the folder is made for its owner alone. A generation whose files were edited again before they could be
    copied is not kept. Never put it below the configuration's folder. Blocks on files now and at every reload, on the
    thread that reloads: call it outside of event loops.

    Args:
        container: Opened from a configuration folder or file.
        config: That folder or file.
        folder: Where generations are kept; it may be shared by processes.
        keep: How many.

    Returns:
        A function that ends it.

    Raises:
        OSError: The folder cannot be written.
    """
    root, history = Path(config), HistoryFolder(Path(folder), keep)
    first = container.configs.snapshot
    history.add(root, first.files, first.digest, contents=first.contents)

    def updated(old: Snapshot, new: Snapshot, _: Diff) -> None:
        found = [change.to_dict() for change in changes(old, new)]
        history.add(root, new.files, new.digest, found, new.contents)

    return container.on_config_updated(updated)
