"""Holders: who holds memory that can be given back."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from typing_extensions import override

from loomwire.application.memory.report import Held
from loomwire.domain.caching.entries import CacheStatistics
from loomwire.domain.ports.caching.cache import ICacheStores, ICacheStrategy
from loomwire.domain.ports.memory import IMemoryHolder

_LEVEL: Final = "memory"

_log: Final = logging.getLogger("loomwire.memory")


class CacheHolder(IMemoryHolder):
    """What all caches of a container keep in the memory of this process. Safe for threads.

    Args:
        stores: The caches; what is opened later counts too.
    """

    def __init__(self, stores: ICacheStores) -> None:
        """Allow all."""
        self._stores = stores
        self._share = 1.0
        self._room_bytes: int | None = None
        self._usual_bytes = 0
        self._given = 1.0

    @property
    @override
    def name(self) -> str:
        return "caches"

    @property
    def given(self) -> float:
        """The share of their configured sizes that they have now."""
        return self._given

    @override
    def held_bytes(self) -> int:
        return sum(counted.size_bytes or 0 for _, counted in self._levels())

    @override
    def allow(self, share: float) -> None:
        self._share = share
        self._fit()

    def fit(self, room_bytes: int | None) -> None:
        """Have room for so much from the next `allow` on, however large they are configured; None is no bound."""
        self._room_bytes = room_bytes

    def _fit(self) -> None:
        levels = self._levels()
        if self._given:
            limits = sum(counted.limit_bytes or 0 for _, counted in levels)
            self._usual_bytes = round(limits / self._given)
        usual, room = self._usual_bytes, self._room_bytes
        fits = 1.0 if room is None or usual <= 0 else min(1.0, room / usual)
        given = self._share * fits
        if given == self._given == 1:
            return
        # Every time: a level that was opened since has its whole size.
        self._given = given
        for level, _ in levels:
            level.resize(given)

    def _levels(self) -> Sequence[tuple[ICacheStrategy, CacheStatistics]]:
        counted = [(level, level.statistics()) for level in self._stores.levels()]
        return [row for row in counted if row[1].level == _LEVEL]


class Holders:
    """Everybody who can give memory back. Safe for threads; what a holder raises is logged once and disturbs nobody.

    Args:
        stores: The caches of the container; None has none.
        more: Returns who else holds some now; they are held by somebody else.
    """

    def __init__(self, stores: ICacheStores | None, more: Callable[[], Iterable[IMemoryHolder]] = tuple) -> None:
        """Know these alone."""
        self._more = more
        self._caches = None if stores is None else CacheHolder(stores)
        self._others: dict[int, weakref.ref[IMemoryHolder]] = {}
        self._next = 0
        self._failed: set[str] = set()

    def add(self, holder: IMemoryHolder) -> Callable[[], None]:
        """Know a holder for as long as it lives, or until the function that this returns is called."""
        number, self._next = self._next, self._next + 1

        def remove() -> None:
            """Forget the holder; it keeps what it was allowed last."""
            self._others.pop(number, None)

        self._others[number] = weakref.ref(holder, lambda _: remove())
        return remove

    def cached_bytes(self) -> int:
        """Return how much of it the caches hold, for which `allow` says what room there is."""
        row = None if self._caches is None else self._ask(self._caches)
        return 0 if row is None else row.held_bytes

    def held(self) -> tuple[Held, ...]:
        """Return who holds how much, the largest first."""
        rows = [row for holder in self._all() if (row := self._ask(holder)) is not None]
        return tuple(sorted(rows, key=lambda row: (-row.held_bytes, row.name)))

    def allow(self, share: float, room_bytes: int | None) -> None:
        """Let each hold a share of the usual at most, and caches that share of what there is room for (None: any)."""
        if self._caches is not None:
            self._caches.fit(room_bytes)
        for holder in self._all():
            try:
                holder.allow(share)
            except Exception as error:  # noqa: BLE001  # one holder's failure must not keep the others from giving
                self._tell(holder, error)

    def _all(self) -> list[IMemoryHolder]:
        others = [holder for ref in tuple(self._others.values()) if (holder := ref()) is not None]
        return [*(() if self._caches is None else (self._caches,)), *self._more(), *others]

    def _ask(self, holder: IMemoryHolder) -> Held | None:
        try:
            given = holder.given if isinstance(holder, CacheHolder) else None
            return Held(holder.name, holder.held_bytes(), given)
        except Exception as error:  # noqa: BLE001  # as above
            self._tell(holder, error)
            return None

    def _tell(self, holder: IMemoryHolder, error: Exception) -> None:
        kind = type(holder).__name__
        if kind not in self._failed:
            self._failed.add(kind)
            _log.warning("%s does not say what memory it holds, or gives none back: %s", kind, type(error).__name__)
