"""When an edit is over: hints go in, the instant at which to read comes out. Pure; the watcher's thread owns it.

What watchdog delivers was measured for inotify with watchdog 6 and 7: editors open, modify and close; renames arrive as
`moved` or as `created` alone; watchdog 6 calls a chmod `modified`; some changes arrive as nothing at all.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Final, final

QUIET_S: Final = 0.020
"""After a file was closed or renamed."""
UNCLOSED_S: Final = 0.150
"""After a change of which nobody says when it is over."""
VANISHED_S: Final = 0.500
"""After a file was found missing or empty: more often than not it is being written anew."""
LONGEST_S: Final = 1.0
"""From the first hint: files that never come to rest are read all the same."""


class Hint(Enum):
    """What may have happened to a file.

    Attributes:
        OPENED: Somebody has it open, perhaps to write; alone no reason to read.
        RELEASED: Somebody closed it unwritten; alone no reason to read.
        MODIFIED: Its content changes, or with watchdog 6 only its mode.
        CLOSED: Whoever wrote it is done.
        REPLACED: It came, went or was renamed, whole.
        CHANGED: It is different from before; whether that is all, nobody says.
    """

    OPENED = "opened"
    RELEASED = "released"
    MODIFIED = "modified"
    CLOSED = "closed"
    REPLACED = "replaced"
    CHANGED = "changed"


_QUIET: Final = {Hint.CLOSED: QUIET_S, Hint.REPLACED: QUIET_S, Hint.CHANGED: UNCLOSED_S, Hint.MODIFIED: math.inf}


@final
class Settling:
    """Collects hints until the files have come to rest. Times are monotonic seconds; not safe for several threads."""

    def __init__(self) -> None:
        """Wait for a first hint."""
        self._open: set[str] = set()
        self._first: float | None = None
        self._quiet: dict[str, float] = {}
        self._unsure: set[str] = set()
        self._patience: float | None = None
        self._held: float | None = None

    def hint(self, hint: Hint, path: str, now: float) -> None:
        """Take a hint.

        Args:
            hint: What may have happened.
            path: To which file.
            now: When.
        """
        if hint is Hint.OPENED:
            self._open.add(path)
        elif hint is Hint.RELEASED:
            # A reader's; a writer that was seen to write is still there.
            if self._quiet.get(path) != math.inf:
                self._open.discard(path)
        else:
            self._changed(self._meant(hint, path), path, now)

    def hold(self, now: float) -> bool:
        """Wait on, because a file is missing or empty.

        Returns:
            Whether there is patience left: False from 500 ms after the first such call on.
        """
        if self._patience is None:
            self._patience = now + VANISHED_S
        if now >= self._patience:
            return False
        self._held = self._patience
        return True

    def due(self) -> float | None:
        """Return the instant at which to read, or None when nothing was hinted."""
        if self._first is None:
            return None
        if self._held is not None:
            return self._held
        return min(self._first + LONGEST_S, max(self._quiet.values()))

    def looked(self) -> None:
        """Begin anew, because the files are being read."""
        self._first = self._patience = self._held = None
        self._quiet.clear()
        self._unsure.clear()

    def _meant(self, hint: Hint, path: str) -> Hint:
        if hint is not Hint.MODIFIED or path in self._open:
            return hint
        # Nobody writes what nobody has open: right after a writer was done it is watchdog 6 telling of a chmod.
        return Hint.CLOSED if path in self._quiet and path not in self._unsure else Hint.CHANGED

    def _changed(self, hint: Hint, path: str, now: float) -> None:
        if self._first is None or self._held is not None:
            self._first = now
        self._held = None
        self._quiet[path] = now + _QUIET[hint]
        if hint in {Hint.CLOSED, Hint.REPLACED}:
            self._open.discard(path)
        if hint is Hint.CHANGED:
            self._unsure.add(path)
        else:
            self._unsure.discard(path)
