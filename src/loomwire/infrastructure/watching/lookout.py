"""Decides when to look at the files from outside and when to read them. No thread, no clock, no file of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from loomwire.infrastructure.watching.settling import Hint, Settling
from loomwire.infrastructure.watching.survey import Survey

SWEEP_S: Final = 1.0
"""Between two looks from outside when nothing is heard."""


@final
class Lookout:
    """Turns hints and looks from outside into `read now`. Not safe for several threads.

    Args:
        look: Takes a survey.
        now: Monotonic seconds; a first reading is due soon, because nobody knows what happened before.
    """

    def __init__(self, look: Callable[[], Survey], now: float) -> None:
        """Take a first survey."""
        self._look = look
        self._settling = Settling()
        self._read = self._seen = look()
        self._sweep_at = now
        # A file may be half written at this moment: what differs when the reading is due is given more time.
        self._silent = frozenset(self._read.files)
        self._settling.hint(Hint.CHANGED, "", now)

    def hear(self, hint: Hint, path: str, now: float) -> None:
        """Take a hint from outside."""
        self._settling.hint(hint, path, now)

    def due(self) -> float:
        """Return the instant of the next turn."""
        settled = self._settling.due()
        return self._sweep_at if settled is None else settled

    def turn(self, now: float) -> bool:
        """Do what is due.

        Returns:
            Whether the files shall be read now.
        """
        if now < self.due():
            return False
        before, self._seen = self._seen, self._look()
        self._sweep_at = now + SWEEP_S
        if self._settling.due() is None:
            self._silent = self._seen.differing(self._read)
            self._hint(self._silent, now)
            return False
        # What nobody announced may go on unannounced.
        self._hint(self._seen.differing(before) & self._silent, now)
        if self.due() > now:
            return False
        if self._seen.lost(self._read) and self._settling.hold(now):
            return False
        self._read = self._seen
        self._silent = frozenset()
        self._settling.looked()
        return True

    def sweep_soon(self, now: float) -> None:
        """Look again at once: something may have changed while the files were read, or they lead to others now."""
        self._sweep_at = now

    def _hint(self, paths: frozenset[str], now: float) -> None:
        for path in paths:
            self._settling.hint(Hint.CHANGED, path, now)
