"""What a cache holds, by which key, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from loomwire.domain.values import JSON


class CacheKey(NamedTuple):
    """Where an entry stands.

    Attributes:
        namespace: What can be purged as a whole: a client's name, or a host's own word. At most 200 characters.
        digest: SHA-256 of everything the value depends on, its tenant included: 32 bytes.
    """

    namespace: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A value that was kept.

    Attributes:
        value: What was kept; what it means is the business of whoever kept it.
        age_s: Seconds since it was kept; never less than 0.
        ttl_s: For how many seconds it is fresh.
        level: Who had it: memory, disk, redis.
        keep_s: For how many seconds after that it may still be asked for.
        hits: How often it was asked for there, this time included.
    """

    value: bytes
    age_s: float
    ttl_s: float
    level: str = ""
    keep_s: float = 0.0
    hits: int = 1

    @property
    def is_fresh(self) -> bool:
        """Whether it is as good as new."""
        return self.age_s < self.ttl_s

    @property
    def stale_s(self) -> float:
        """Seconds since it went stale; 0 while it is fresh."""
        return max(0.0, self.age_s - self.ttl_s)


@dataclass(frozen=True, slots=True)
class EntryFacts:
    """What may be shown of an entry: never its value.

    Attributes:
        level: Who has it.
        namespace: See `CacheKey`.
        digest: Likewise, as 64 hexadecimal digits.
        size_bytes: What it takes.
        age_s: Seconds since it was kept.
        fresh_s: Seconds for which it is still fresh; less than 0 when it is stale.
        hits: How often it was asked for on this level.
    """

    level: str
    namespace: str
    digest: str
    size_bytes: int
    age_s: float
    fresh_s: float
    hits: int

    def to_dict(self) -> dict[str, JSON]:
        """Return the facts as JSON."""
        return {
            "level": self.level,
            "namespace": self.namespace,
            "digest": self.digest,
            "size_bytes": self.size_bytes,
            "age_s": round(self.age_s, 3),
            "fresh_s": round(self.fresh_s, 3),
            "hits": self.hits,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatistics:
    """What one level holds now and did since the process started.

    Attributes:
        level: memory, disk, redis, or several joined by "+".
        hits: Entries that were found, stale ones included.
        misses: Looks that found nothing.
        stale: Hits of entries that were no longer fresh.
        writes: Entries that were kept.
        evictions: Entries that had to make room.
        expired: Entries that were dropped because their time was over.
        refused: Entries that were too large to be kept, or came while the level was off.
        errors: Looks and writes that failed and were taken for a miss.
        entries: How many there are; None when that cannot be known cheaply.
        size_bytes: What they take; None likewise.
        limit_bytes: What they may take now; None without a limit of ours.
        oldest_s: Age in seconds of the entry that is there longest; None when there is none or nobody knows.
        resting_s: Seconds for which the level is left alone because it failed; 0 when it is not.
    """

    level: str
    hits: int = 0
    misses: int = 0
    stale: int = 0
    writes: int = 0
    evictions: int = 0
    expired: int = 0
    refused: int = 0
    errors: int = 0
    entries: int | None = 0
    size_bytes: int | None = 0
    limit_bytes: int | None = None
    oldest_s: float | None = None
    resting_s: float = 0.0

    @property
    def hit_rate(self) -> float | None:
        """Hits of all looks, 0 to 1; None before the first look."""
        looks = self.hits + self.misses
        return self.hits / looks if looks else None

    def to_dict(self) -> dict[str, JSON]:
        """Return the statistics as JSON."""
        rate = self.hit_rate
        return {
            "level": self.level,
            "hits": self.hits,
            "misses": self.misses,
            "hit_rate": None if rate is None else round(rate, 4),
            "stale": self.stale,
            "writes": self.writes,
            "evictions": self.evictions,
            "expired": self.expired,
            "refused": self.refused,
            "errors": self.errors,
            "entries": self.entries,
            "size_bytes": self.size_bytes,
            "limit_bytes": self.limit_bytes,
            "oldest_s": None if self.oldest_s is None else round(self.oldest_s, 3),
            "resting_s": round(self.resting_s, 3),
        }
