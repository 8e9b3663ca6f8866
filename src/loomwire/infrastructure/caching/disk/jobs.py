"""What a task asks of the thread that owns the file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Final, Generic, Literal, TypeAlias, TypeVar, final

from loomwire.domain.caching.entries import CacheKey
from loomwire.infrastructure.caching.disk.table import DiskTable

T_co = TypeVar("T_co", covariant=True)

JobKind: TypeAlias = Literal["look", "keep", "write"]


class More(Enum):
    """A step was not the last one."""

    MORE = "more"


MORE: Final = More.MORE

Debt: TypeAlias = CacheKey | str | None
"""What may not be returned before it was deleted: an entry, a namespace, or (None) everything."""


@final
class Job(Generic[T_co]):
    """One thing to do, for a task of the running loop.

    Args:
        kind: How it is counted.
        step: Does it, on the thread; called again while it returns `MORE`, with others in between.
        otherwise: The answer when it cannot be done.
        owes: What must be gone when it cannot be done; nothing for what only reads.
        weight: Bytes that it holds while it waits.

    Attributes:
        future: Where the answer arrives; cancelled when nobody waits for it any more.
        otherwise: As it was given.
        is_open: It has steps left.
    """

    __slots__ = ("_answer", "_loop", "_step", "future", "is_open", "kind", "otherwise", "owes", "weight")

    def __init__(
        self,
        kind: JobKind,
        step: Callable[[DiskTable, float], T_co | More],
        *,
        otherwise: T_co,
        owes: tuple[Debt, ...] = (),
        weight: int = 0,
    ) -> None:
        """Bind to the running loop."""
        self.kind = kind
        self.owes = owes
        self.weight = weight
        self.is_open = True
        self._step = step
        self.otherwise = self._answer = otherwise
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T_co] = self._loop.create_future()

    @property
    def writes(self) -> bool:
        """Whether it needs a transaction."""
        return self.kind != "look"

    def run(self, table: DiskTable, wall: float) -> None:
        """Do a step. Errors of SQLite go through; `fail` is called then."""
        answer = self._step(table, wall)
        if answer is not MORE:
            self._answer, self.is_open = answer, False

    def fail(self) -> None:
        """Give up."""
        self._answer, self.is_open = self.otherwise, False

    def deliver(self) -> None:
        """Hand the answer over to the loop. A loop that is closed needs none."""
        try:
            self._loop.call_soon_threadsafe(self._arrive)
        except RuntimeError:
            return

    def _arrive(self) -> None:
        if not self.future.done():
            self.future.set_result(self._answer)


class Debts:
    """What could not be deleted when it had to be, and may not be returned until it is."""

    __slots__ = ("_all", "_keys", "_spaces")

    _MOST: Final = 1024

    def __init__(self) -> None:
        """Owe nothing."""
        self.forgive()

    def __bool__(self) -> bool:
        return self._all or bool(self._keys or self._spaces)

    @property
    def is_all(self) -> bool:
        """Whether everything must go."""
        return self._all

    @property
    def is_wide(self) -> bool:
        """Whether more than single entries must go."""
        return self._all or bool(self._spaces)

    def forgive(self) -> None:
        """Owe nothing any more."""
        self._all = False
        self._keys: set[CacheKey] = set()
        self._spaces: set[str] = set()

    def add(self, debt: Debt) -> None:
        """Owe something; everything, when it gets too much to remember."""
        if isinstance(debt, CacheKey):
            self._keys.add(debt)
        elif debt is not None:
            self._spaces.add(debt)
        if debt is None or len(self._keys) + len(self._spaces) > self._MOST:
            self.forgive()
            self._all = True

    def covers(self, key: CacheKey) -> bool:
        """Whether an entry may not be returned."""
        return self._all or key in self._keys or key.namespace in self._spaces

    def pay(self, table: DiskTable, wall: float) -> None:
        """Delete everything that is owed, inside the transaction of the caller, who forgives after the commit."""
        for key in self._keys:
            table.drop(key, wall)
        upto = table.newest()
        for namespace in self._spaces:
            while not table.purge(namespace, upto):
                pass
