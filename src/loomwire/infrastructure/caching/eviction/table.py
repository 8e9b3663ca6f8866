"""Who makes room first, by the name of the strategy."""

from __future__ import annotations

import importlib
import math
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Mapping
from heapq import heapify, heappop, heappush
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias

from typing_extensions import override

from loomwire.domain.caching.policies import EvictionRule
from loomwire.infrastructure.caching.eviction.slots import Slot

_SPARE: Final = 64


class Order(Protocol):
    """In which order entries make room. It bounds nothing, and is called under its owner's lock only."""

    @abstractmethod
    def add(self, slot: Slot) -> None:
        """Take in an entry that was kept; one that is kept anew was dropped before."""

    @abstractmethod
    def touch(self, slot: Slot) -> None:
        """Note that a known entry was asked for."""

    @abstractmethod
    def drop(self, slot: Slot) -> None:
        """Forget a known entry."""

    @abstractmethod
    def pop(self) -> Slot:
        """Forget the entry that goes first, and return it; there must be one."""


class _Recent(Protocol):
    """What we use of `cachetools.LRUCache`, which has no types."""

    @abstractmethod
    def __getitem__(self, slot: Slot, /) -> None:
        """Note a use."""

    @abstractmethod
    def __setitem__(self, slot: Slot, value: None, /) -> None:
        """Note a use, the first one too."""

    @abstractmethod
    def __delitem__(self, slot: Slot, /) -> None:
        """Forget it."""

    @abstractmethod
    def popitem(self) -> tuple[Slot, None]:
        """Forget the least recently used."""


class LeastRecent(Order):
    """The entry that nobody asked for the longest goes first: `cachetools.LRUCache` without a limit of its own."""

    __slots__ = ("_slots",)

    def __init__(self) -> None:
        """Hold nothing."""
        # The size of cachetools' caches is fixed, so the bytes are counted by the owner, who may shrink.
        make: Callable[[float], _Recent] = importlib.import_module("cachetools").LRUCache
        self._slots = make(math.inf)

    @override
    def add(self, slot: Slot) -> None:
        self._slots[slot] = None

    @override
    def touch(self, slot: Slot) -> None:
        self._slots[slot]

    @override
    def drop(self, slot: Slot) -> None:
        del self._slots[slot]

    @override
    def pop(self) -> Slot:
        return self._slots.popitem()[0]


class LeastFrequent(Order):
    """The entry that was asked for least often goes first, of equals the one that became so first.

    Not `cachetools.LFUCache`, which looks at all entries to find the least before its version 7. Here every step takes
    the same time, however many there are. An entry that is kept anew has been asked for once more.
    """

    __slots__ = ("_least", "_levels")

    def __init__(self) -> None:
        """Hold nothing."""
        self._levels: dict[int, OrderedDict[Slot, None]] = {}
        self._least = 0

    @override
    def add(self, slot: Slot) -> None:
        slot.place += 1
        self._least = min(self._least, slot.place)
        self._level(slot.place)[slot] = None

    @override
    def touch(self, slot: Slot) -> None:
        self.drop(slot)
        slot.place += 1
        self._level(slot.place)[slot] = None

    @override
    def drop(self, slot: Slot) -> None:
        level = self._levels[slot.place]
        del level[slot]
        if not level:
            del self._levels[slot.place]

    @override
    def pop(self) -> Slot:
        if self._least not in self._levels:
            self._least = min(self._levels)
        slot = next(iter(self._levels[self._least]))
        self.drop(slot)
        return slot

    def _level(self, count: int) -> OrderedDict[Slot, None]:
        level = self._levels.get(count)
        if level is None:
            # A plain dict looks for its first key among all that were deleted before it.
            level = self._levels[count] = OrderedDict()
        return level


class SoonestStale(Order):
    """The entry that is stale first goes first, of equals the one that was kept first."""

    __slots__ = ("_count", "_heap", "_known")

    def __init__(self) -> None:
        """Hold nothing."""
        self._count = self._known = 0
        self._heap: list[tuple[float, int, Slot]] = []

    @override
    def add(self, slot: Slot) -> None:
        self._known += 1
        self._count = slot.place = self._count + 1
        heappush(self._heap, (slot.born + slot.ttl_s, self._count, slot))
        # What was dropped stays in the heap, under a number that is no longer its own.
        if len(self._heap) > 2 * self._known + _SPARE:
            self._heap = [place for place in self._heap if place[2].place == place[1]]
            heapify(self._heap)

    @override
    def touch(self, slot: Slot) -> None:
        """Change nothing: being asked for makes nothing fresher."""

    @override
    def drop(self, slot: Slot) -> None:
        self._known -= 1
        slot.place = 0

    @override
    def pop(self) -> Slot:
        while True:
            _, number, slot = heappop(self._heap)
            if slot.place == number:
                self.drop(slot)
                return slot


OrderMaker: TypeAlias = Callable[[], Order]

ORDERS: Final[Mapping[EvictionRule, OrderMaker]] = MappingProxyType(
    {"lru": LeastRecent, "lfu": LeastFrequent, "ttl": SoonestStale}
)
"""Makes the order of each strategy; the only place that knows them."""
