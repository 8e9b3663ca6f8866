"""What the memory level keeps of an entry, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, final

from loomwire.domain.caching.entries import EntryFacts
from loomwire.domain.caching.policies import EvictionRule

LEVEL: Final = "memory"

OVERHEAD: Final[Mapping[EvictionRule, int]] = MappingProxyType({"lru": 540, "lfu": 480, "ttl": 490})
"""Bytes that Python adds to the value, the digest and the namespace of an entry, by strategy.

What tracemalloc says an entry takes just after the dictionaries grew, which is the worst; a test measures it again.
"""


@final
class Space:
    """The entries of a namespace since it was last cleared; to clear it is to give up the space.

    Attributes:
        name: The namespace.
        slots: Its entries by digest.
        over: It was cleared.
    """

    __slots__ = ("name", "over", "slots")

    def __init__(self, name: str) -> None:
        """Hold nothing."""
        self.name = name
        self.slots: dict[bytes, Slot] = {}
        self.over = False


@final
class Slot:
    """An entry.

    Attributes:
        space: Where it belongs.
        digest: By which it is found there.
        value: What was kept.
        born: The instant at which it was kept first, on whatever level.
        ttl_s: For how many seconds it is fresh.
        keep_s: For how many seconds after that it may be returned.
        size_bytes: What it takes.
        hits: How often it was asked for.
        place: What the order knows of it.
    """

    __slots__ = ("born", "digest", "hits", "keep_s", "place", "size_bytes", "space", "ttl_s", "value")

    def __init__(self, digest: bytes) -> None:
        """Belong nowhere yet."""
        self.digest = digest
        self.hits = self.place = 0
        self.born = self.ttl_s = self.keep_s = 0.0

    def keep(self, space: Space, value: bytes, size_bytes: int) -> None:
        """Take in a value."""
        self.space = space
        self.value = bytes(value)
        self.size_bytes = size_bytes

    @property
    def is_kept(self) -> bool:
        """Whether it can still be found."""
        return not self.space.over and self.space.slots.get(self.digest) is self

    def is_over(self, now: float) -> bool:
        """Whether its time is over."""
        return now - self.born >= self.ttl_s + self.keep_s

    def facts(self, now: float) -> EntryFacts:
        """Return what may be shown of it."""
        age = now - self.born
        fresh = self.ttl_s - age
        return EntryFacts(LEVEL, self.space.name, self.digest.hex(), self.size_bytes, age, fresh, self.hits)
