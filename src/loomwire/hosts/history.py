"""Keeps every configuration that comes into force in a folder, for `loomwire config history` and `config rollback`."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from loomwire.application.reload.changes import changes
from loomwire.infrastructure.configuration.files import absolute
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
    copies, so the folder is made for its owner alone. No generation is missed, but one whose files were edited again
    before they could be copied is not kept. Never put it below the configuration's folder. Blocks on files now, and
    at every reload on the thread of listeners.

    Args:
        container: Opened from a configuration folder or file.
        config: That folder or file.
        folder: Where generations are kept; it may be shared by processes.
        keep: How many.

    Returns:
        A function that ends it.

    Raises:
        OSError: The folder cannot be written.
        LLMValidationError: Inside a running event loop.
    """
    # Whole paths, because the process may change its working directory meanwhile.
    root, history = Path(absolute(config)), HistoryFolder(Path(absolute(folder)), keep)
    turn = threading.Lock()

    def updated(old: Snapshot, new: Snapshot, _: Diff) -> None:
        """Keep a generation that came into force."""
        with turn:
            found = [change.to_dict() for change in changes(old, new)]
            history.add(root, new.files, new.digest, found, new.contents)

    with turn:
        first, end = container.configs.follow(updated)
        try:
            history.add(root, first.files, first.digest, contents=first.contents)
        except BaseException:
            end()
            raise
    return end
