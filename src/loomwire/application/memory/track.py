"""Track: what a memory manager saw and did, as far back as it remembers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Final

from loomwire.application.memory.accounts import Account
from loomwire.application.memory.levels import Pressure
from loomwire.application.memory.report import Action, Held, LevelChange, Looked, MemoryReport

SAMPLES: Final = 120
EVENTS: Final = 32


class Track:
    """Remembers the last looks, changes and actions. Safe for threads.

    Args:
        at: The beginning, in monotonic seconds.

    Attributes:
        level: As of the last change.
    """

    def __init__(self, at: float) -> None:
        """Remember nothing; the level is normal."""
        self.level: Pressure = "normal"
        self._since = at
        self._samples: deque[Looked] = deque(maxlen=SAMPLES)
        self._changes: deque[LevelChange] = deque(maxlen=EVENTS)
        self._actions: deque[Action] = deque(maxlen=EVENTS)
        self._looks = 0
        self._failures = 0
        self.after_fork()

    def after_fork(self) -> None:
        """Take a lock of its own in a child."""
        self._lock = threading.Lock()

    def looked(self, looked: Looked) -> None:
        """Remember a look."""
        with self._lock:
            self._looks += 1
            self._samples.append(looked)

    def did(self, action: Action) -> None:
        """Remember an action."""
        with self._lock:
            self._actions.append(action)

    def changed(self, change: LevelChange) -> None:
        """Be on another level."""
        with self._lock:
            self.level, self._since = change.new, change.at
            self._changes.append(change)

    def failed(self) -> None:
        """Remember a look that failed."""
        with self._lock:
            self._looks += 1
            self._failures += 1

    def reset(self, at: float) -> LevelChange | None:
        """Be back on the normal level because nobody knows; return the change, if it is one."""
        with self._lock:
            last = self._samples[-1].sample if self._samples else None
            old = self.level
        if last is None or old == "normal":
            return None
        change = LevelChange(old, "normal", last.rss_bytes, last.limit_bytes, last.source, at)
        self.changed(change)
        return change

    def report(
        self, held: tuple[Held, ...], accounts: Mapping[str, Account], now: float, *, running: bool
    ) -> MemoryReport:
        """Return everything, with who holds what."""
        with self._lock:
            samples = tuple(self._samples)
            return MemoryReport(
                level=self.level,
                level_s=now - self._since,
                sample=samples[-1].sample if samples else None,
                holders=held,
                operations=accounts,
                samples=samples,
                changes=tuple(self._changes),
                actions=tuple(self._actions),
                looks=self._looks,
                failures=self._failures,
                running=running,
                now=now,
            )
