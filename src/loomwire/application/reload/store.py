"""ConfigStore: reads the configuration anew and puts it in force whole, or leaves everything as it is."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from loomwire.application.forks import renew_after_fork
from loomwire.application.generation import Generation, build_generation, renewed_generation
from loomwire.application.pipeline import Parts
from loomwire.application.registry import ClientRegistry
from loomwire.application.reload.adoptions import Adoption, Diff
from loomwire.application.reload.drains import Drains
from loomwire.application.reload.guards import shrinkage
from loomwire.application.reload.listeners import Listeners, RejectedListener, Remove, UpdatedListener
from loomwire.application.reload.living import forget_removed, restate
from loomwire.application.reload.telling import Teller
from loomwire.domain.config import Snapshot
from loomwire.domain.errors import ConfigError, UnknownNameError
from loomwire.domain.ports.config import ConfigReading, IConfigSource
from loomwire.domain.reports.problems import Problem

if TYPE_CHECKING:
    from loomwire.application.reload.results import Outcome, Rejection, ReloadResult, SlowListener

KEPT: Final = 10
"""Generations that the history remembers."""

_LOGGER = logging.getLogger("loomwire.reload")


def wall_clock() -> datetime:
    """Return the wall time, which is for display only."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Rollback:
    """What a rollback left in the files: it stays out as long as they hold just that."""

    number: int
    left: str
    rejection: Rejection | None


class ConfigStore:
    """Keeps a registry up to date with a source. One reload at a time, from any thread; it blocks on the source.

    Content decides: the same digest as last time changes nothing. What is not valid, shrinks too much or cannot be
    built leaves the generation in force alone. A swap is one store, so no call ever sees half of it; clients whose
    configuration is the same keep their chains. Listeners are told in order, on a thread of their own, before a reload
    returns; see `Teller` for those that take too long.

    Args:
        registry: Whose generation is swapped.
        source: Where the configuration comes from; None for one that never changes.
        parts: What chains are made from.
        drains: Lets go of what was replaced.
        keep: How many generations the history remembers.
        today: Wall time.

    Attributes:
        updated: Who is told of a new generation.
        rejected: Who is told, once per bad configuration, that it did not come into force.
    """

    def __init__(
        self,
        registry: ClientRegistry,
        source: IConfigSource | None,
        parts: Parts,
        drains: Drains,
        *,
        keep: int = KEPT,
        today: Callable[[], datetime] = wall_clock,
    ) -> None:
        """Take over what is in force; read nothing."""
        self._teller = Teller()
        self.updated: Listeners[UpdatedListener] = Listeners(self._teller)
        self.rejected: Listeners[RejectedListener] = Listeners(self._teller)
        self._registry = registry
        self._source = source
        self._parts = parts
        self._drains = drains
        self._today = today
        self._rejection: Rejection | None = None
        self._rollback: _Rollback | None = None
        snapshot = registry.generation.snapshot
        self._seen = snapshot.digest
        first = Diff(added=tuple(sorted(snapshot.clients)))
        self._history: deque[Adoption] = deque([self._adoption(registry.generation, first, None)], maxlen=keep)
        self._since = parts.clock.now()
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Take a new lock in a child, where another thread of the parent may have held the old one."""
        self._lock = threading.Lock()

    @property
    def history(self) -> tuple[Adoption, ...]:
        """The generations remembered, oldest first; the last is in force."""
        return tuple(self._history)

    @property
    def rejection(self) -> Rejection | None:
        """What was read last and may not come into force, or None; putting something else in force leaves it."""
        return self._rejection

    @property
    def rolled_back_to(self) -> int | None:
        """The generation whose configuration is in force instead of what the source says, or None."""
        return None if self._rollback is None else self._rollback.number

    @property
    def slow(self) -> tuple[SlowListener, ...]:
        """The listeners that take too long."""
        return self._teller.slow

    @property
    def age_s(self) -> float:
        """Seconds since the generation in force came into force."""
        return self._parts.clock.now() - self._since

    def reload(self, *, allow_shrink: bool = False) -> ReloadResult:
        """Read the source and put what is new in force. Never on an event loop: it blocks.

        Args:
            allow_shrink: Accept an edit that removes much of what is in force.
        """
        with self._lock:
            result = self._reloaded(allow_shrink=allow_shrink)
        self._teller.run()
        self._drains.sweep()
        return result

    def renew(self) -> bool:
        """Build those clients anew of whose models something else is known by now; the configuration stays.

        Returns:
            Whether there were any. A client that cannot be built leaves all as they are.
        """
        with self._lock:
            before = self._registry.generation
            if self._registry.closed:
                return False
            try:
                after = renewed_generation(before, self._parts)
            except ConfigError as error:
                _LOGGER.warning("what is known of models has changed, but a client cannot be built: %s", error.message)
                return False
            if after is None:
                return False
            self._registry.swap(after)
            self._drains.retire(before)
        self._drains.sweep()
        return True

    def rollback(self, number: int) -> ReloadResult:
        """Put the configuration of an earlier generation in force again, as a new one.

        It holds as long as the source says just what it said when it was read last, valid or not. What it says anew
        comes into force as ever; when that is what is in force already, the rollback is over too.

        Args:
            number: A generation of the history. It is not guarded against shrinking: somebody asked for it by name.

        Raises:
            UnknownNameError: The history does not know it.
        """
        with self._lock:
            if self._registry.closed:
                return self._result("unchanged", self._seen)
            known = {each.number: each for each in self._history}
            if number not in known:
                numbers = ", ".join(map(str, known))
                raise UnknownNameError(f"there is no generation {number}", hint=f"The history knows {numbers}.")
            # Its own number: `True` is 1 to Python and not to JSON.
            result = self._rolled_back(known[number].snapshot, known[number].number)
        self._teller.run()
        self._drains.sweep()
        return result

    def follow(self, listener: UpdatedListener) -> tuple[Snapshot, Remove]:
        """Add a listener of updates; return what is in force, from which on it is told of every one, and its end.

        Raises:
            LLMValidationError: A coroutine function outside of a running event loop.
        """
        with self._lock:
            return self._registry.generation.snapshot, self.updated.add(listener)

    def _reloaded(self, *, allow_shrink: bool) -> ReloadResult:
        before = self._registry.generation.snapshot
        if self._source is None or self._registry.closed:
            return self._result("unchanged", self._seen)
        reading = self._source.read(before)
        self._seen = reading.digest
        if reading.snapshot is None:
            return self._refused(reading.digest, reading.problems)
        if reading.digest == before.digest:
            if self._rejection is not None:
                _LOGGER.info("the bad edit was undone, generation %d stays", self._registry.generation.number)
            self._rejection = self._rollback = None
            return self._result("unchanged", reading.digest)
        held = self._held(reading.digest, allow_shrink=allow_shrink)
        return held or self._tried(reading.snapshot, reading, allow_shrink=allow_shrink)

    def _tried(self, snapshot: Snapshot, reading: ConfigReading, *, allow_shrink: bool) -> ReloadResult:
        if not (allow_shrink or snapshot.allow_shrink):
            guarded = tuple(shrinkage(self._registry.generation.snapshot, snapshot))
            if guarded:
                return self._refused(reading.digest, guarded)
        after = self._built(snapshot)
        if isinstance(after, Problem):
            return self._refused(reading.digest, (after,))
        self._rejection = self._rollback = None
        return self._adopted(after, reading.problems)

    def _held(self, digest: str, *, allow_shrink: bool) -> ReloadResult | None:
        """Return the result of a reading that a rollback keeps out, or None."""
        rollback = self._rollback
        if rollback is None or rollback.left != digest or (allow_shrink and rollback.rejection is not None):
            return None
        self._rejection = rollback.rejection
        if rollback.rejection is None:
            return self._result("unchanged", digest)
        return self._result("rejected", digest, problems=rollback.rejection.problems)

    def _rolled_back(self, snapshot: Snapshot, number: int) -> ReloadResult:
        after = self._built(snapshot)
        if isinstance(after, Problem):
            # Nobody edited anything, so nothing is said to listeners, or of the files.
            return self._result("rejected", snapshot.digest, problems=(after,))
        if snapshot.digest == self._seen:
            self._rejection = self._rollback = None
        else:
            self._rollback = _Rollback(number, self._seen, self._rejection)
        return self._adopted(after, rolled_back_to=number)

    def _built(self, snapshot: Snapshot) -> Generation | Problem:
        before = self._registry.generation
        try:
            return build_generation(before.number + 1, snapshot, self._parts, before)
        except ConfigError as error:
            problem = Problem(error.reason, error.message, hint=error.hint)
        except Exception as error:  # noqa: BLE001  # a host's own factory must not take the last good generation away
            problem = Problem("rejected", f"a client cannot be built ({type(error).__name__})")
        restate(before, self._parts)
        return problem

    def _adopted(
        self, after: Generation, problems: tuple[Problem, ...] = (), rolled_back_to: int | None = None
    ) -> ReloadResult:
        before = self._registry.swap(after)
        self._since = self._parts.clock.now()
        old, new = before.snapshot, after.snapshot
        diff = Diff.between(old, new)
        self._history.append(self._adoption(after, diff, rolled_back_to))
        self._drains.retire(before)
        forget_removed(self._drains.living, self._parts)
        self.updated.tell(lambda listener: listener(old, new, diff))
        counts = f"{len(diff.added)} added, {len(diff.removed)} removed, {len(diff.changed)} changed"
        counts += "" if rolled_back_to is None else f", rolled back to generation {rolled_back_to}"
        _LOGGER.info("configuration generation %d is in force: %s", after.number, counts)
        return self._result("adopted", new.digest, diff, problems)

    def _refused(self, digest: str, problems: tuple[Problem, ...]) -> ReloadResult:
        if self._rejection is None or self._rejection.digest != digest:
            from loomwire.application.reload.results import Rejection

            self._rejection = rejection = Rejection(digest, self._today(), problems)
            kept = self._registry.generation
            self.rejected.tell(lambda listener: listener(kept.snapshot, problems))
            first = rejection.first
            says = "" if first is None else f": {first.place}: {first.code} {first.message}"
            _LOGGER.warning("the edit is not in force, generation %d stays%s", kept.number, says)
        return self._result("rejected", digest, problems=problems)

    def _result(
        self,
        outcome: Outcome,
        digest: str,
        diff: Diff = Diff(),
        problems: tuple[Problem, ...] = (),
    ) -> ReloadResult:
        # Nobody has reloaded anything while a container starts.
        from loomwire.application.reload.results import ReloadResult

        return ReloadResult(outcome, self._registry.generation.number, digest, diff, problems)

    def _adoption(self, generation: Generation, diff: Diff, rolled_back_to: int | None) -> Adoption:
        snapshot = generation.snapshot
        return Adoption(
            generation.number,
            snapshot.digest,
            self._today(),
            snapshot.files,
            diff,
            rolled_back_to,
            snapshot=snapshot,
        )
