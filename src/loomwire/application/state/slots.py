"""Slots: how fast every target may be asked. Outlives every reload."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

from loomwire.application.forks import renew_after_fork
from loomwire.domain.policies import RatePolicy
from loomwire.domain.ports.clock import IClock

if TYPE_CHECKING:
    from loomwire.application.state.pacing.lane import Lane
    from loomwire.application.state.pacing.statistics import LaneStatistics


class LaneKey(NamedTuple):
    """What a limit holds for.

    Attributes:
        endpoint: The provider's name, or scheme, host and port.
        key: Which of the provider's keys, by number or digest: never the key itself. "" where limits are shared by all.
        model: The provider's own name of the model; "" where limits are shared by all.
    """

    endpoint: str
    key: str = ""
    model: str = ""


class Slots:
    """The lanes of all targets. Safe for several threads and event loops.

    Args:
        clock: The time.
    """

    def __init__(self, clock: IClock) -> None:
        """Start without lanes."""
        self._clock = clock
        self._lanes: dict[LaneKey, Lane] = {}
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Go on in a child; another thread of the parent may have held a lock."""
        self._lock = threading.Lock()
        for lane in self._lanes.values():
            lane.after_fork()

    def lane(self, key: LaneKey, policy: RatePolicy) -> Lane:
        """Return the lane of a key, the same one for ever, with these limits in force from now on.

        Called at build time. Who waits goes on waiting under the new limits, and what was used stays used.
        """
        # Imported by the first target that has a limit.
        from loomwire.application.state.pacing.lane import Lane

        with self._lock:
            lane = self._lanes.get(key)
            if lane is None:
                lane = self._lanes[key] = Lane(policy, self._clock)
        if lane.policy != policy:
            lane.adapt(policy)
        return lane

    def retain(self, keys: Collection[LaneKey]) -> None:
        """Forget the lanes of all other keys; calls that are in one of those end in it.

        Args:
            keys: Every key that a configuration still has.
        """
        with self._lock:
            self._lanes = {key: lane for key, lane in self._lanes.items() if key in keys}

    def statistics(self) -> Mapping[LaneKey, LaneStatistics]:
        """Return what every lane holds now."""
        with self._lock:
            lanes = dict(self._lanes)
        return {key: lane.statistics() for key, lane in lanes.items()}
