"""MemoryManager: keeps the memory of a process bounded, and tells who holds it."""

from __future__ import annotations

import logging
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, TypeAlias

from loomwire.application.forks import renew_after_fork
from loomwire.application.memory.accounts import Accounts, MemoryUse
from loomwire.application.memory.gate import RETRY_AFTER_S, MemoryGate
from loomwire.application.memory.holders import Holders
from loomwire.application.memory.levels import ORDER, Pressure, is_below, next_pressure
from loomwire.application.memory.relief import Relief
from loomwire.application.memory.report import LevelChange, Looked, MemoryReport
from loomwire.application.memory.telling import ChangeListeners, line_of
from loomwire.application.memory.thread import MemoryThread
from loomwire.application.memory.track import Track
from loomwire.domain.caching.policies import MemoryPolicy
from loomwire.domain.ports.caching.cache import ICacheStores
from loomwire.domain.ports.memory import IMemoryHolder, IMemoryProbe, MemorySample

Remove: TypeAlias = Callable[[], None]

FIRST_S: Final = 0.25
"""Longest wait for the first look, in seconds: nothing of it falls into the start of a process."""

_JITTER: Final = 0.2
_log: Final = logging.getLogger("loomwire.memory")


class MemoryManager:
    """Looks at the memory of its process again and again, and gives some back when it becomes short.

    By shares of the limit (`memory.limit`, else what the control group allows, else what the process has and the
    machine has left): from `soft` on everything that is kept shrinks to half, from `high` on nothing is kept and calls
    of priority `cost` are refused, from `critical` on every new call is (TMP004 `memory`, retry after 1 s), unless
    what is kept was enough to give back. A guessed limit refuses no call. A level ends 10 points below its beginning,
    or after a dozen looks below it, and what was given up comes back one level a look. At every look caches get no
    more room than the rest of the process leaves below `soft`, so what they may grow by between two looks is bounded.
    Calls in flight go on, whatever happens.

    It looks on a daemon thread of its own, which the first call of the container begins, and which ends with `close`
    or with the last who holds the manager; a forked child begins one with its own first call. Nothing of it ever
    raises: a process that cannot be looked at is left alone, with one line in the log. Safe for threads and event
    loops, but for `look`, which reads files.

    Args:
        probe: Looks at the process.
        gate: Where calls are refused.
        policy: What holds.
        stores: The caches of the container; None has none.
        holders: Returns who else can give memory back now.
        now: Monotonic seconds.
        draw: Gives a number from 0 to 1, by which looks are spread.

    Example:
        >>> from loomwire import LLMContainer
        >>> with LLMContainer.open("config", watch=False) as container:
        ...     with container.memory.track_memory_usage("report", 4_000_000):
        ...         container.memory.report().operations["report"].held_bytes
        4000000
    """

    def __init__(
        self,
        probe: IMemoryProbe,
        gate: MemoryGate,
        policy: MemoryPolicy = MemoryPolicy(),
        stores: ICacheStores | None = None,
        *,
        holders: Callable[[], Iterable[IMemoryHolder]] = tuple,
        now: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Look at nothing yet."""
        self._probe = probe
        # Weakly, because the gate holds what it begins: whoever holds a client holds the gate, and so the manager.
        self._gate = weakref.ref(gate)
        self._policy = policy
        self._now = now
        self._draw = draw
        self._holders = Holders(stores, holders)
        self._relief = Relief(probe, self._holders, gate, now)
        self._accounts = Accounts()
        self._listeners = ChangeListeners()
        self._track = Track(now())
        self._failing = self._closed = self._armed = False
        self._calm = 0
        self._thread = MemoryThread(self)
        self._looking = threading.Lock()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Look anew in a child, from its first call on."""
        self._looking = threading.Lock()
        self._accounts.after_fork()
        self._thread.after_fork()
        self._track.after_fork()
        if self._armed:
            self.arm()

    @property
    def level(self) -> Pressure:
        """How short of memory the process is: normal, soft, high, critical."""
        return self._track.level

    @property
    def policy(self) -> MemoryPolicy:
        """What holds now."""
        return self._policy

    def arm(self) -> None:
        """Begin to look again and again with the next call that passes the gate."""
        gate = self._gate()
        if gate is not None and not self._closed:
            self._armed = True
            gate.arm(self.start)

    def start(self) -> None:
        """Begin to look again and again, or do nothing when begun or closed. Returns at once."""
        if not self._closed:
            self._thread.start(min(FIRST_S, self._policy.interval_s))
            if self._armed and not self.running:
                # The process has no thread left now; the next call tries again.
                self.arm()

    def close(self) -> None:
        """Look no more, for good, and refuse no call. Idempotent; waits a moment for a look that is under way."""
        self._closed = True
        gate = self._gate()
        if gate is not None:
            gate.disarm()
        self._thread.stop()

    def adapt(self, policy: MemoryPolicy) -> None:
        """Have another policy hold from now on; the next look comes at once."""
        if policy != self._policy:
            self._policy = policy
            self._thread.wake()

    def register(self, holder: IMemoryHolder) -> Remove:
        """Have a holder give memory back when it is short, for as long as somebody else holds it.

        Returns:
            What ends it sooner.
        """
        return self._holders.add(holder)

    def on_change(self, listener: Callable[[LevelChange], object]) -> Remove:
        """Call a plain function after every change of the level, on the manager's thread; it must not take long.

        What it raises is logged and disturbs nobody.

        Returns:
            What ends it.
        """
        return self._listeners.add(listener)

    def track_memory_usage(self, operation: str, size: int) -> MemoryUse:
        """Count what an operation takes, until what this returns is closed, left as a block, or dropped.

        Args:
            operation: Names it in reports; no more than 256 are told apart, so no identifiers.
            size: Bytes that it really takes; `resize` of what this returns when that changes.
        """
        return MemoryUse(self._accounts, operation, size)

    def wait_s(self) -> float:
        """Return how long to wait for the next look: the interval, give or take a fifth, in seconds.

        A second at most while calls are refused: who was told to come again then is not refused for a look of long ago.
        """
        usual = self._policy.interval_s
        wait = min(usual, RETRY_AFTER_S) if self.level == "critical" else usual
        return wait * (1 - _JITTER + 2 * _JITTER * self._draw())

    def look(self) -> None:
        """Look once and do what is to be done. Reads files, so never on an event loop. Never raises."""
        # A host's own probe or log handler may raise: without this thread calls would be refused for ever.
        with suppress(Exception):
            with self._looking:
                change = None if self._closed else self._looked()
            if change is not None:
                self._listeners.tell(change)
                _log.log(*line_of(change))

    def report(self) -> MemoryReport:
        """Return who holds how much, what the last looks found, and what was done. Reads no file."""
        return self._track.report(self._holders.held(), self._accounts.accounts(), self._now(), running=self.running)

    @property
    def running(self) -> bool:
        """Whether the process is looked at again and again."""
        return self._thread.running

    def _looked(self) -> LevelChange | None:
        old, policy = self._track.level, self._policy
        try:
            sample = self._probe.sample(policy.limit_bytes)
            self._calm = self._calm + 1 if is_below(old, sample.share, policy) else 0
            level = next_pressure(old, sample.share, policy, guessed=sample.source == "machine", calm=self._calm)
            eases = level == "critical" and old in ("normal", "soft")
            if eases:
                # What is kept goes before a call is refused for it.
                self._give("high", sample, rises=True)
                sample = self._probe.sample(policy.limit_bytes)
                level = "critical" if sample.share >= policy.critical else "high"
        except Exception as error:  # noqa: BLE001  # whatever the probe meets, calls go on
            return self._left_alone(error)
        if self._failing:
            self._failing = False
            _log.info("the memory of this process can be looked at again")
        self._track.looked(Looked(sample, level, self._now()))
        self._give(level, sample, rises=not eases and ORDER.index(level) > ORDER.index(old))
        return self._entered(level, sample)

    def _give(self, level: Pressure, sample: MemorySample, *, rises: bool) -> None:
        for action in self._relief.give(level, sample, self._policy, rises=rises):
            self._track.did(action)

    def _entered(self, level: Pressure, sample: MemorySample) -> LevelChange | None:
        old = self._track.level
        if self._armed and level != "normal":
            # Looked at by hand before the first call: somebody has to find that there is memory again.
            self.start()
        if level == old:
            return None
        self._calm = 0
        change = LevelChange(old, level, sample.rss_bytes, sample.limit_bytes, sample.source, self._now())
        self._track.changed(change)
        return change

    def _left_alone(self, error: Exception) -> LevelChange | None:
        self._track.failed()
        if not self._failing:
            self._failing = True
            _log.warning("memory is not watched: this process cannot be looked at (%s)", type(error).__name__)
        self._relief.undo()
        return self._track.reset(self._now())
