"""Accounts: how much memory operations take while they go on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from loomwire.domain.values import JSON

MOST_OPERATIONS: Final = 256
"""How many operations are told apart; further ones are one."""
OTHERS: Final = "(others)"


@dataclass(frozen=True, slots=True)
class Account:
    """What one operation takes.

    Attributes:
        open: How many of it go on.
        held_bytes: What these take now.
        peak_bytes: The most that they took at once.
        begun: How many of it there were.
    """

    open: int = 0
    held_bytes: int = 0
    peak_bytes: int = 0
    begun: int = 0

    def to_dict(self) -> dict[str, JSON]:
        """Return the account as JSON."""
        return {
            "open": self.open,
            "held_bytes": self.held_bytes,
            "peak_bytes": self.peak_bytes,
            "begun": self.begun,
        }


class MemoryUse:
    """What one operation takes, until it is closed, its block is left, or nobody holds it. Safe for threads.

    Args:
        accounts: Where it counts.
        operation: What it is.
        size: Bytes.
    """

    __slots__ = ("_accounts", "_closed", "_operation", "_size")

    def __init__(self, accounts: Accounts, operation: str, size: int) -> None:
        """Begin to count."""
        self._accounts = accounts
        self._operation = operation
        self._size = max(0, size)
        self._closed = False
        accounts.note(operation, self._size, 1)

    @property
    def size(self) -> int:
        """Bytes that it takes; 0 once it is closed."""
        return 0 if self._closed else self._size

    def resize(self, size: int) -> None:
        """Take another number of bytes from now on."""
        if not self._closed:
            more, self._size = max(0, size) - self._size, max(0, size)
            self._accounts.note(self._operation, more, 0)

    def close(self) -> None:
        """Take nothing any more. Idempotent."""
        if not self._closed:
            self._closed = True
            self._accounts.note(self._operation, -self._size, -1)

    def __enter__(self) -> Self:
        """Count until the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take nothing any more."""
        self.close()

    def __del__(self) -> None:
        """Take nothing any more: what nobody holds is gone."""
        self.close()


class Accounts:
    """What is taken, by operation. Safe for threads, and for the garbage collector, which may end a use at any time."""

    def __init__(self) -> None:
        """Know of nothing."""
        self._by_operation: dict[str, Account] = {}
        # A use that the collector closes may come while this very thread books another: appending needs no lock.
        self._notes: deque[tuple[str, int, int]] = deque()
        self.after_fork()

    def after_fork(self) -> None:
        """Take a lock of its own in a child."""
        self._lock = threading.Lock()

    def note(self, operation: str, more_bytes: int, more: int) -> None:
        """Note that an operation takes more or less, and that one more began or ended."""
        self._notes.append((operation, more_bytes, more))
        if self._lock.acquire(blocking=False):
            try:
                self._book()
            finally:
                self._lock.release()

    def accounts(self) -> Mapping[str, Account]:
        """Return every account, those that take most first."""
        with self._lock:
            self._book()
            found = dict(self._by_operation)
        return dict(sorted(found.items(), key=lambda row: (-row[1].held_bytes, -row[1].peak_bytes, row[0])))

    def _book(self) -> None:
        while self._notes:
            operation, more_bytes, more = self._notes.popleft()
            known = self._by_operation
            if operation not in known and len(known) >= MOST_OPERATIONS:
                operation = OTHERS
            was = known.get(operation, Account())
            held = was.held_bytes + more_bytes
            known[operation] = Account(was.open + more, held, max(was.peak_bytes, held), was.begun + max(0, more))
