"""Looks: what one manager saw and did, who holds memory, and who is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from loomwire.application.memory.accounts import Accounts
from loomwire.application.memory.gate import MemoryGate
from loomwire.application.memory.holders import Holders
from loomwire.application.memory.levels import ORDER, Pressure, is_below, next_pressure
from loomwire.application.memory.relief import Relief
from loomwire.application.memory.report import LevelChange, Looked, MemoryReport
from loomwire.application.memory.telling import ChangeListeners, line_of
from loomwire.application.memory.track import Track
from loomwire.domain.caching.policies import MemoryPolicy
from loomwire.domain.ports.caching.cache import ICacheStores
from loomwire.domain.ports.memory import IMemoryHolder, IMemoryProbe, MemorySample

_log: Final = logging.getLogger("loomwire.memory")


class Looks:
    """Does what a `MemoryManager` is for, which imports it with the first look. Safe for threads, but for `look`.

    Args:
        probe: Looks at the process.
        gate: Where calls are refused; held weakly.
        stores: The caches of the container; None has none.
        more: Returns who else can give memory back now.
        now: Monotonic seconds.
        began: When the manager was made, in monotonic seconds.

    Attributes:
        holders: Who can give memory back.
        accounts: What operations take.
        listeners: Who is told of changes.
    """

    def __init__(
        self,
        probe: IMemoryProbe,
        gate: MemoryGate,
        stores: ICacheStores | None,
        more: Callable[[], Iterable[IMemoryHolder]],
        *,
        now: Callable[[], float],
        began: float,
    ) -> None:
        """Look at nothing yet."""
        self.holders = Holders(stores, more)
        self.accounts = Accounts()
        self.listeners = ChangeListeners()
        self._probe = probe
        self._now = now
        self._relief = Relief(probe, self.holders, gate, now)
        self._track = Track(began)
        self._failing = False
        self._calm = 0

    def after_fork(self) -> None:
        """Take locks of its own in a child."""
        self.accounts.after_fork()
        self._track.after_fork()

    @property
    def level(self) -> Pressure:
        """How short of memory the process is."""
        return self._track.level

    def report(self, *, running: bool) -> MemoryReport:
        """Return who holds how much, what was found, and what was done.

        Args:
            running: Whether the process is looked at again and again.
        """
        return self._track.report(self.holders.held(), self.accounts.accounts(), self._now(), running=running)

    def tell(self, change: LevelChange) -> None:
        """Tell the listeners and the log."""
        self.listeners.tell(change)
        _log.log(*line_of(change))

    def look(self, policy: MemoryPolicy) -> LevelChange | None:
        """Look once and do what is to be done by a policy; return the change of the level, if it is one."""
        old = self.level
        try:
            sample = self._probe.sample(policy.limit_bytes)
            self._calm = self._calm + 1 if is_below(old, sample.share, policy) else 0
            level = next_pressure(old, sample.share, policy, guessed=sample.source == "machine", calm=self._calm)
            eases = level == "critical" and old in ("normal", "soft")
            if eases:
                # What is kept goes before a call is refused for it.
                self._give("high", sample, policy, rises=True)
                sample = self._probe.sample(policy.limit_bytes)
                level = "critical" if sample.share >= policy.critical else "high"
        except Exception as error:  # noqa: BLE001  # whatever the probe meets, calls go on
            return self._left_alone(error)
        if self._failing:
            self._failing = False
            _log.info("the memory of this process can be looked at again")
        self._track.looked(Looked(sample, level, self._now()))
        self._give(level, sample, policy, rises=not eases and ORDER.index(level) > ORDER.index(old))
        return None if level == old else self._entered(level, sample)

    def _give(self, level: Pressure, sample: MemorySample, policy: MemoryPolicy, *, rises: bool) -> None:
        for action in self._relief.give(level, sample, policy, rises=rises):
            self._track.did(action)

    def _entered(self, level: Pressure, sample: MemorySample) -> LevelChange:
        self._calm = 0
        change = LevelChange(self.level, level, sample.rss_bytes, sample.limit_bytes, sample.source, self._now())
        self._track.changed(change)
        return change

    def _left_alone(self, error: Exception) -> LevelChange | None:
        self._track.failed()
        if not self._failing:
            self._failing = True
            _log.warning("memory is not watched: this process cannot be looked at (%s)", type(error).__name__)
        self._relief.undo()
        return self._track.reset(self._now())
