"""MemoryManager: keeps the memory of a process bounded, and tells who holds it."""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Final, TypeAlias

from loomwire.application.forks import NO_FORK, renew_after_fork
from loomwire.application.memory.gate import RETRY_AFTER_S, MemoryGate
from loomwire.application.memory.thread import MemoryThread
from loomwire.domain.caching.policies import MemoryPolicy
from loomwire.domain.ports.caching.cache import ICacheStores
from loomwire.domain.ports.memory import IMemoryHolder, IMemoryProbe

if TYPE_CHECKING:
    from loomwire.application.memory.accounts import MemoryUse
    from loomwire.application.memory.levels import Pressure
    from loomwire.application.memory.looks import Looks
    from loomwire.application.memory.report import LevelChange, MemoryReport

Remove: TypeAlias = Callable[[], None]

FIRST_S: Final = 0.25
"""Longest wait for the first look, in seconds: nothing of it falls into the start of a process."""

_JITTER: Final = 0.2


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
        self._stores = stores
        self._more = holders
        self._now = now
        self._draw = draw
        self._began = now()
        self._made: Looks | None = None
        self._closed = self._armed = self._has_looked = False
        self._thread = MemoryThread(self)
        self._looking, self._making = threading.Lock(), threading.Lock()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Look anew in a child, from its first call on."""
        self._looking, self._making = threading.Lock(), threading.Lock()
        self._thread.after_fork()
        if self._made is not None:
            self._made.after_fork()
        if self._armed:
            self.arm()

    @property
    def level(self) -> Pressure:
        """How short of memory the process is: normal, soft, high, critical."""
        return "normal" if self._made is None else self._made.level

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
        return self._looks.holders.add(holder)

    def on_change(self, listener: Callable[[LevelChange], object]) -> Remove:
        """Call a plain function after every change of the level, on the manager's thread; it must not take long.

        What it raises is logged and disturbs nobody.

        Returns:
            What ends it.
        """
        return self._looks.listeners.add(listener)

    def track_memory_usage(self, operation: str, size: int) -> MemoryUse:
        """Count what an operation takes, until what this returns is closed, left as a block, or dropped.

        Args:
            operation: Names it in reports; no more than 256 are told apart, so no identifiers.
            size: Bytes that it really takes; `resize` of what this returns when that changes.
        """
        from loomwire.application.memory.accounts import MemoryUse

        return MemoryUse(self._looks.accounts, operation, size)

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
            # The first look imports what it needs, the probe's too.
            with nullcontext() if self._has_looked else NO_FORK, self._looking:
                looks = self._looks
                change = None if self._closed else looks.look(self._policy)
                self._has_looked = True
                if self._armed and looks.level != "normal":
                    # Looked at by hand before the first call: somebody has to find that there is memory again.
                    self.start()
            if change is not None:
                looks.tell(change)

    def report(self) -> MemoryReport:
        """Return who holds how much, what the last looks found, and what was done.

        Does not look itself. Before the first look it imports for some 10 ms.
        """
        return self._looks.report(running=self.running)

    @property
    def running(self) -> bool:
        """Whether the process is looked at again and again."""
        return self._thread.running

    @property
    def _looks(self) -> Looks:
        made = self._made
        if made is None:
            # Takes 10 ms to import, which no start of a container waits for: the first look is on a thread.
            with NO_FORK:
                from loomwire.application.memory.looks import Looks

            gate = self._gate() or MemoryGate()
            with self._making:
                made = self._made = self._made or Looks(
                    self._probe, gate, self._stores, self._more, now=self._now, began=self._began
                )
        return made
