"""ConfigStore: reads the configuration anew and puts it in force whole, or leaves everything as it is."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from loomwire.application.forks import renew_after_fork
from loomwire.application.generation import Generation, build_generation, renewed_generation
from loomwire.application.pipeline import Parts
from loomwire.application.registry import ClientRegistry
from loomwire.application.reload.drains import Drains
from loomwire.application.reload.guards import shrinkage
from loomwire.application.reload.listeners import Listeners, RejectedListener, Turns, UpdatedListener
from loomwire.application.reload.results import Adoption, Diff, Outcome, Rejection, ReloadResult
from loomwire.domain.config import Snapshot
from loomwire.domain.errors import ConfigError, UnknownNameError
from loomwire.domain.faults import Problem
from loomwire.domain.ports.config import IConfigSource

KEPT: Final = 10
"""Generations that the history remembers."""

_LOGGER = logging.getLogger("loomwire.reload")


def wall_clock() -> datetime:
    """Return the wall time, which is for display only."""
    return datetime.now(UTC)


class ConfigStore:
    """Keeps a registry up to date with a source. One reload at a time, from any thread; it blocks on the source.

    Content decides: the same digest as last time changes nothing. What is not valid, shrinks too much or cannot be
    built leaves the generation in force alone. A swap is one store, so no call ever sees half of it; clients whose
    configuration is the same keep their chains.

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
        self.updated: Listeners[UpdatedListener] = Listeners()
        self.rejected: Listeners[RejectedListener] = Listeners()
        self._registry = registry
        self._source = source
        self._parts = parts
        self._drains = drains
        self._today = today
        self._turns = Turns()
        self._rejection: Rejection | None = None
        snapshot = registry.generation.snapshot
        self._seen = snapshot.digest
        first = Diff(added=tuple(sorted(snapshot.clients)))
        self._history: deque[Adoption] = deque([self._adoption(registry.generation, first, None)], maxlen=keep)
        self._since = parts.clock.now()
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Take new locks in a child, where another thread of the parent may have held the old ones."""
        self._lock = threading.Lock()
        self._turns.after_fork()

    @property
    def history(self) -> tuple[Adoption, ...]:
        """The generations remembered, oldest first; the last is in force."""
        return tuple(self._history)

    @property
    def rejection(self) -> Rejection | None:
        """What was rejected last, or None when the source says what is in force."""
        return self._rejection

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
        self._turns.run()
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
        """Put the configuration of an earlier generation in force again, as a new one, until the next valid edit.

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
            result = self._adopted(known[number].snapshot, (), number)
        self._turns.run()
        return result

    def _reloaded(self, *, allow_shrink: bool) -> ReloadResult:
        before = self._registry.generation
        if self._source is None or self._registry.closed:
            return self._result("unchanged", self._seen)
        reading = self._source.read(before.snapshot)
        if reading.snapshot is None:
            return self._refused(reading.digest, reading.problems)
        if reading.digest in (self._seen, before.snapshot.digest):
            self._seen = reading.digest
            self._rejection = None
            return self._result("unchanged", reading.digest)
        if not (allow_shrink or reading.snapshot.allow_shrink):
            guarded = tuple(shrinkage(before.snapshot, reading.snapshot))
            if guarded:
                return self._refused(reading.digest, guarded)
        result = self._adopted(reading.snapshot, reading.problems, None)
        if result.outcome == "adopted":
            self._seen = reading.digest
        return result

    def _adopted(self, snapshot: Snapshot, problems: tuple[Problem, ...], rolled_back_to: int | None) -> ReloadResult:
        before = self._registry.generation
        try:
            after = build_generation(before.number + 1, snapshot, self._parts, before)
        except ConfigError as error:
            return self._refused(snapshot.digest, (_unbuilt(error),))
        except Exception as error:  # noqa: BLE001  # a host's own factory must not take the last good generation away
            message = f"a client cannot be built ({type(error).__name__})"
            return self._refused(snapshot.digest, (Problem("rejected", message),))
        self._registry.swap(after)
        self._since = self._parts.clock.now()
        self._rejection = None
        diff = Diff.between(before.snapshot, snapshot)
        self._history.append(self._adoption(after, diff, rolled_back_to))
        self._drains.retire(before)
        old = before.snapshot
        self._turns.put(lambda: self.updated.tell(lambda listener: listener(old, snapshot, diff)))
        counts = f"{len(diff.added)} added, {len(diff.removed)} removed, {len(diff.changed)} changed"
        _LOGGER.info("configuration generation %d is in force: %s", after.number, counts)
        return self._result("adopted", snapshot.digest, diff, problems)

    def _refused(self, digest: str, problems: tuple[Problem, ...]) -> ReloadResult:
        if self._rejection is None or self._rejection.digest != digest:
            self._rejection = rejection = Rejection(digest, self._today(), problems)
            kept = self._registry.generation.snapshot
            self._turns.put(lambda: self.rejected.tell(lambda listener: listener(kept, problems)))
            first = rejection.first
            says = "" if first is None else f": {first.place}: {first.code} {first.message}"
            _LOGGER.warning("the edit is not in force, generation %d stays%s", self._registry.generation.number, says)
        return self._result("rejected", digest, problems=problems)

    def _result(
        self,
        outcome: Outcome,
        digest: str,
        diff: Diff = Diff(),
        problems: tuple[Problem, ...] = (),
    ) -> ReloadResult:
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


def _unbuilt(error: ConfigError) -> Problem:
    return Problem(error.reason, error.message, hint=error.hint)
