"""Relief: what is done about memory that is short, level by level."""

from __future__ import annotations

import math
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from loomwire.application.memory.garbage import Garbage
from loomwire.application.memory.gate import ALL_REFUSED, OPEN, PATIENT_REFUSED, UNSEEN, MemoryGate
from loomwire.application.memory.holders import Holders
from loomwire.application.memory.levels import SLACK, Pressure
from loomwire.application.memory.report import Action
from loomwire.domain.caching.policies import MemoryPolicy
from loomwire.domain.ports.memory import IMemoryProbe, MemorySample

SHRANK: Final = "what is kept shrank"
COLLECTED: Final = "garbage was collected"
RELEASED: Final = "freed memory went back to the system"

_SHARES: Final[Mapping[Pressure, float]] = {"normal": 1.0, "soft": 0.5, "high": 0.0, "critical": 0.0}
_GATES: Final[Mapping[Pressure, int]] = {
    "normal": OPEN,
    "soft": OPEN,
    "high": PATIENT_REFUSED,
    "critical": ALL_REFUSED,
}
_ROOM_ENDS: Final = SLACK / 2
_OF_WHAT_IS_LEFT: Final = 0.25
_REMEMBERED: Final = 12
_WORTHWHILE_BYTES: Final = 1024 * 1024
_AGAIN_S: Final = 60.0


class Relief:
    """Shrinks what is kept, refuses calls, and has freed memory go back to the system. Not safe for several threads.

    Args:
        probe: Gives memory back.
        holders: Hold it.
        gate: Refuses calls; held weakly.
        now: Monotonic seconds.
    """

    def __init__(self, probe: IMemoryProbe, holders: Holders, gate: MemoryGate, now: Callable[[], float]) -> None:
        """Do nothing yet."""
        self._probe = probe
        self._holders = holders
        self._gate = weakref.ref(gate)
        self._now = now
        self._garbage = Garbage(now)
        self._besides: deque[int] = deque(maxlen=_REMEMBERED)
        self._released = -math.inf

    def give(self, level: Pressure, sample: MemorySample, policy: MemoryPolicy, *, rises: bool) -> Iterator[Action]:
        """Do what a level takes, and yield what was done, with what it brought.

        Args:
            level: How short of memory the process is.
            sample: What was found.
            policy: What holds.
            rises: The level was reached by this look.
        """
        self._turn(OPEN if sample.source == "machine" else _GATES[level])
        held = self._held()
        room = self._room(sample, policy)
        began = time.perf_counter()
        self._holders.allow(_SHARES[level], room)
        shrunk = held - self._held()
        is_worthwhile = shrunk >= _WORTHWHILE_BYTES
        if is_worthwhile:
            yield Action(SHRANK, shrunk, time.perf_counter() - began, self._now())
        is_due = level != "normal" and self._now() - self._released >= _AGAIN_S
        if rises or is_due or is_worthwhile:
            yield from self._release(sample, collects=level != "normal")

    def _room(self, sample: MemorySample, policy: MemoryPolicy) -> int:
        self._besides.append(sample.rss_bytes - self._holders.cached_bytes())
        # Below the level by a little, so that caches that are as full as they may be do not reach it by themselves. The
        # least of some looks, because freed memory stays with the process for a while, and is none that others need.
        room = (policy.soft - _ROOM_ENDS) * sample.limit_bytes - min(self._besides)
        if sample.source == "machine":
            # However large the host itself is: nobody said that this is too large.
            room = max(room, _OF_WHAT_IS_LEFT * (sample.available_bytes or 0))
        return max(0, round(room))

    def undo(self) -> None:
        """Let everybody hold what is usual, and refuse no call."""
        self._turn(OPEN)
        self._besides.clear()
        self._holders.allow(1.0, None)

    def _turn(self, level: int) -> None:
        gate = self._gate()
        # Of a gate that waits for its first call, "open" would make it forget what that begins.
        if gate is not None and not (level == OPEN and gate.level == UNSEEN):
            gate.level = level

    def _held(self) -> int:
        return sum(held.held_bytes for held in self._holders.held())

    def _release(self, sample: MemorySample, *, collects: bool) -> Iterator[Action]:
        self._released = self._now()
        before = sample.rss_bytes
        took = self._garbage.collect() if collects else None
        if took is not None:
            after = self._rss(before, sample.limit_bytes)
            yield Action(COLLECTED, before - after, took, self._now())
            before = after
        began = time.perf_counter()
        self._probe.release()
        took = time.perf_counter() - began
        yield Action(RELEASED, before - self._rss(before, sample.limit_bytes), took, self._now())

    def _rss(self, before: int, limit_bytes: int) -> int:
        try:
            return self._probe.sample(limit_bytes).rss_bytes
        except Exception:  # noqa: BLE001  # the next look says that the process cannot be looked at
            return before
