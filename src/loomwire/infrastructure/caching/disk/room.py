"""DiskRoom: one file, what is owed to it, and what happens when it fails; only for the thread that owns it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias, final

from loomwire.domain.caching.entries import CacheKey
from loomwire.infrastructure.caching.disk.file import BUSY, DiskFile, RefusedFileError, code_of, is_damage
from loomwire.infrastructure.caching.disk.jobs import Debts, Job
from loomwire.infrastructure.caching.disk.table import DiskTable
from loomwire.infrastructure.caching.disk.tally import DiskTally
from loomwire.infrastructure.caching.disk.troubles import Troubles
from loomwire.infrastructure.caching.envelope import SLACK_S

REFUSED_S: Final = 30.0
"""Seconds for which a file that is not ours is left alone."""
FAILED_S: Final = 1.0
"""Seconds for which a file that could not be used is left alone."""

_AT_ONCE_S: Final = 0.5
_LOG_BYTES: Final = 16 * 1024 * 1024
_FAILURES: Final = (sqlite3.Error, OSError, TypeError, ValueError, ArithmeticError, MemoryError)
_FULL: Final = 13

AnyJob: TypeAlias = Job[object]


@final
class DiskRoom:
    """Opens the file when it is first needed, and again when it was lost, and does jobs on it.

    No method raises: what fails is counted and told, and the jobs it hits have their other answer.

    Args:
        path: Of the file.
        tally: Where looks are counted.
        now: Monotonic seconds.
        wall: Seconds of the wall clock.

    Attributes:
        debts: What may not be returned.
        cuts_log: The log is cut after the next transaction, since what it holds was purged.
    """

    def __init__(self, path: Path, tally: DiskTally, now: Callable[[], float], wall: Callable[[], float]) -> None:
        """Open nothing yet."""
        self.debts = Debts()
        self.cuts_log = False
        self._file = DiskFile(path)
        self._tally = tally
        self._now = now
        self._wall = wall
        self._troubles = Troubles(str(path), now)
        self._table: DiskTable | None = None
        self._rests_until = -1.0
        self._lead: float | None = None
        self._unsaved = False

    @property
    def resting_s(self) -> float:
        """Seconds for which the file is still left alone. From any thread."""
        return max(0.0, self._rests_until - self._now()) if self._table is None else 0.0

    @property
    def trouble(self) -> str:
        """What went wrong last; empty when nothing ever did. From any thread."""
        return self._troubles.latest

    @property
    def is_restless(self) -> bool:
        """Whether there is something to be written in a quiet moment."""
        return self._table is not None and (self._unsaved or self._table.has_uses or bool(self.debts))

    def serve(self, jobs: Sequence[AnyJob]) -> None:
        """Do one step of each job, in order and in one transaction; all that is left open has another to come."""
        self._troubles.settle()
        wall = self._watch_clock()
        table = self._ready(wall)
        # Looks are kept from what is owed anyway, and need not wait until it can be written.
        if self.debts.is_all or any(job.writes for job in jobs):
            table = self._settle(table, wall)
        if table is None:
            self._give_up(jobs, refused=True)
            return
        try:
            self._do(table, jobs, wall)
        except Exception as error:  # noqa: BLE001  # a thread that died would leave everybody waiting
            self._give_up(jobs, after=error)
            self._handle(error)
        if table.ahead:
            self._distrust()
        if self.debts.is_all:
            self._settle(self._table, wall)

    def rest(self) -> None:
        """Write what may wait for a quiet moment, and carry the log over into the file."""
        if not self._file.is_same:
            self.leave()
        table = self._settle(self._table, self._wall())
        if table is None:
            return
        try:
            if table.has_uses:
                _transact(table, table.write_uses)
            self._file.checkpoint(table.connection)
            self._unsaved = False
        except _FAILURES as error:
            self._handle(error)

    def doubt(self, key: CacheKey) -> None:
        """Take note of an entry that does not fit its checksum; it is deleted next."""
        self._tally.add("errors")
        self._troubles.note("an entry is damaged, and was dropped")
        self.debts.add(key)

    def leave(self) -> None:
        """Close the file, and open it again when it is needed."""
        table, self._table = self._table, None
        if table is not None:
            with suppress(sqlite3.Error):
                table.connection.close()

    def close(self) -> None:
        """Write what is left, and close the file. What could not be deleted goes with all of it."""
        if self.debts:
            self._ready(self._wall())
        self.rest()
        self.leave()
        if self.debts:
            self._remove()

    def _ready(self, wall: float) -> DiskTable | None:
        if self._table is not None:
            if self._file.is_same:
                return self._table
            self._troubles.tell("it was removed or replaced, and is opened anew")
            self.leave()
        if self._now() < self._rests_until:
            return None
        try:
            connection, was_damaged = self._file.open()
        except RefusedFileError as refused:
            self._troubles.note(f"{refused}, so it is left as it is and nothing is kept on disk")
            self._rests_until = self._now() + REFUSED_S
            self._tally.add("errors")
            return None
        except _FAILURES as error:
            self._tally.add("errors")
            self._handle(error)
            return None
        if was_damaged:
            self._note_damage()
        self._table = table = DiskTable(connection)
        try:
            self._tally.totals = table.totals()
            if table.seen() > wall + SLACK_S:
                self._distrust()
        except _FAILURES as error:
            self._handle(error)
        return self._table

    def _watch_clock(self) -> float:
        before, wall = self._now(), self._wall()
        # A process that was stopped between the two readings knows nothing.
        if self._now() - before < _AT_ONCE_S:
            lead = wall - before
            if self._lead is not None and lead < self._lead - SLACK_S:
                self._distrust()
                self._lead = lead
            # Forwards, entries only seem older than they are.
            self._lead = lead if self._lead is None else max(self._lead, lead)
        return wall

    def _distrust(self) -> None:
        self._troubles.note("the clock went back, so nobody knows how old its entries are, and all are dropped")
        self.debts.add(None)

    def _settle(self, table: DiskTable | None, wall: float) -> DiskTable | None:
        if table is None or not self.debts:
            return table
        if self.debts.is_all:
            return self._begin_anew(wall)
        try:
            _transact(table, lambda: self.debts.pay(table, wall))
            self.debts.forgive()
        except _FAILURES as error:
            self._tally.add("errors")
            self._handle(error)
            if self.debts.is_wide and not _is_busy(error):
                return self._begin_anew(wall)
        return self._table

    def _begin_anew(self, wall: float) -> DiskTable | None:
        # One file less is quicker than a hundred thousand deletions, and works on a full disk.
        self.leave()
        if not self._remove():
            return None
        return self._ready(wall)

    def _remove(self) -> bool:
        try:
            self._file.remove()
        except _FAILURES as error:
            self._handle(error)
            return False
        self.debts.forgive()
        return True

    def _do(self, table: DiskTable, jobs: Sequence[AnyJob], wall: float) -> None:
        writes = table.is_full_of_uses or any(job.writes for job in jobs)
        is_writing = writes and self._begin(table, jobs)
        for job in jobs:
            if job.is_open:
                job.run(table, wall)
        if is_writing:
            self._finish(table, jobs, wall)

    def _begin(self, table: DiskTable, jobs: Sequence[AnyJob]) -> bool:
        try:
            table.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if not _is_busy(error):
                raise
            # Whoever only reads need not wait for other processes.
            self._handle(error)
            self._give_up([job for job in jobs if job.writes], after=error)
            return False
        return True

    def _finish(self, table: DiskTable, jobs: Sequence[AnyJob], wall: float) -> None:
        dropped = table.shrink(self._tally.limit_bytes, wall)
        if table.is_full_of_uses:
            table.write_uses()
        totals = table.totals()
        table.connection.execute("COMMIT")
        self._tally.totals = totals
        self._tally.add("writes", sum(job.kind == "keep" for job in jobs))
        self._tally.add("evictions", dropped.evicted)
        self._tally.add("expired", dropped.expired)
        self._unsaved = True
        if self.cuts_log or self._file.log_bytes > _LOG_BYTES:
            self._file.checkpoint(table.connection, cut=self.cuts_log)
            self.cuts_log = False

    def _give_up(self, jobs: Sequence[AnyJob], *, refused: bool = False, after: Exception | None = None) -> None:
        # What was written in a transaction that failed is not there; what was only read stays as it was answered.
        for job in jobs:
            if not job.writes and not job.is_open:
                continue
            job.fail()
            for debt in job.owes:
                self.debts.add(debt)
            if job.kind == "look":
                self._tally.add("misses")
            if after is not None:
                self._tally.add("errors")
            elif refused and job.kind == "keep":
                self._tally.add("refused")

    def _handle(self, error: Exception) -> None:
        table = self._table
        if table is not None:
            with suppress(sqlite3.Error):
                table.connection.rollback()
        if _is_busy(error):
            self._troubles.note("another process keeps it busy")
        elif code_of(error) == _FULL:
            self._troubles.note("the disk is full")
        elif table is not None and is_damage(error):
            self.leave()
            self._note_damage()
            with suppress(OSError):
                self._file.set_aside()
        else:
            self._troubles.note(f"it cannot be used ({_reason(error)})")
            self.leave()
            self._rests_until = self._now() + FAILED_S

    def _note_damage(self) -> None:
        self._tally.add("errors")
        self._troubles.note("it is damaged; what can be told of it is set aside as *.damaged, and a new one is begun")


def _transact(table: DiskTable, work: Callable[[], None]) -> None:
    table.connection.execute("BEGIN IMMEDIATE")
    work()
    table.connection.execute("COMMIT")


def _is_busy(error: Exception) -> bool:
    return code_of(error) in BUSY


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(getattr(error, "sqlite_errorname", type(error).__name__))
