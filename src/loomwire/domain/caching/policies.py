"""What is kept, for how long, where, and how much memory all of it may take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from loomwire.domain.errors import LLMValidationError
from loomwire.domain.values import Secret

KeepRule: TypeAlias = Literal["off", "deterministic_only", "always"]
EvictionRule: TypeAlias = Literal["lru", "lfu", "ttl"]
CacheScope: TypeAlias = Literal["client", "shared"]
CacheIndex: TypeAlias = Literal["numpy", "usearch"]

_MIB: Final = 1024 * 1024
_YEAR_S: Final = 86_400 * 365


def _check(block: str, **ranges: tuple[float | None, float, float]) -> None:
    for name, (value, low, high) in ranges.items():
        if value is not None and not low <= value <= high:
            limits = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
            raise LLMValidationError(f"{block}: {name} must be {limits}, not {value}")


@dataclass(frozen=True, slots=True)
class MemoryLevel:
    """Entries in the memory of this process.

    Attributes:
        size_bytes: How much they may take, with an estimate of what Python adds to each.
        strategy: Who goes first: the least recently used, the least often used, or the one that is next to be stale.
    """

    size_bytes: int = 64 * _MIB
    strategy: EvictionRule = "lru"


@dataclass(frozen=True, slots=True)
class DiskLevel:
    """Entries in one SQLite file, which several processes of one machine may share.

    Attributes:
        path: The file; it is made, readable by its owner only.
        size_bytes: How much entries may take.
        timeout_s: For one look; what takes longer is a miss.
    """

    path: str
    size_bytes: int = 1024 * _MIB
    timeout_s: float = 0.05


@dataclass(frozen=True, slots=True)
class RedisLevel:
    """Entries in a Redis server, which any number of processes share.

    Attributes:
        url: redis://, rediss:// or unix://, with the password in it.
        prefix: What every key begins with.
        timeout_s: For one look; what takes longer is a miss.
    """

    url: Secret
    prefix: str = "loomwire"
    timeout_s: float = 0.05


Level: TypeAlias = MemoryLevel | DiskLevel | RedisLevel
"""One place for entries; a tuple of them is asked in order, and written all through."""


@dataclass(frozen=True, slots=True)
class SemanticPolicy:
    """Answers to questions that mean the same. Off unless it is configured; `ClientConfig.embedder` embeds them.

    Attributes:
        threshold: Least cosine similarity of two questions, 0 to 1; the second gate is asked after it.
        shadow: Only count what it would have answered, and how often it would have been right.
        entries: How many questions are remembered.
        index: How they are searched.
        timeout_s: For embedding one question; what takes longer is a miss.
    """

    threshold: float = 0.95
    shadow: bool = True
    entries: int = 10_000
    index: CacheIndex = "numpy"
    timeout_s: float = 2.0

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        _check("semantic", threshold=(self.threshold, 0, 1), entries=(self.entries, 1, 10**6))
        _check("semantic", timeout_s=(self.timeout_s, 0, _YEAR_S))


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Which answers of a client are kept and for how long.

    Never kept, whatever it says: errors, stand-ins, answers without a sign of their end, those that a filter stopped,
    refusals, answers of a model that is no equal of the first one (unless `equivalent`), and what is larger than
    `max_entry`.

    Attributes:
        mode: off: nothing; deterministic_only: requests with temperature 0 or a seed, and those that ask for it
            (`LLMRequest.cache`); always: every request that does not say "off".
        ttl_s: How long an answer is good, in seconds.
        ttl_jitter: By which share lifetimes are spread, 0 to 1, so that not all of them end at once.
        max_entry: Bytes of the largest answer that is kept.
        swr_s: How long after that the old answer is still given while a new one is fetched behind it.
        stale_if_error_s: How long after that the old answer is given when no target answered.
        scope: client: kept for this client alone; shared: for all clients that say so and ask the same models.
            Tenants never share.
        truncated: Answers that the token limit cut are kept too.
        equivalent: Whichever of the client's models answered, it is as good as any other.
        levels: Where, the fastest first.
        semantic: Answers to questions that mean the same; None is off.

    Raises:
        LLMValidationError: A number that is out of its range; the message says which.
    """

    mode: KeepRule = "deterministic_only"
    ttl_s: float = 3600.0
    ttl_jitter: float = 0.1
    max_entry: int = _MIB
    swr_s: float = 0.0
    stale_if_error_s: float = 0.0
    scope: CacheScope = "client"
    truncated: bool = False
    equivalent: bool = False
    levels: tuple[Level, ...] = (MemoryLevel(),)
    semantic: SemanticPolicy | None = None

    def __post_init__(self) -> None:
        """Refuse numbers by which nothing, or everything, would be kept."""
        _check("cache", ttl_jitter=(self.ttl_jitter, 0, 1), max_entry=(self.max_entry, 1, math.inf))
        _check("cache", swr_s=(self.swr_s, 0, _YEAR_S), stale_if_error_s=(self.stale_if_error_s, 0, _YEAR_S))
        if not 0 < self.ttl_s <= _YEAR_S:
            raise LLMValidationError(f"cache: ttl_s must be more than 0 and at most a year, not {self.ttl_s}")

    @property
    def is_off(self) -> bool:
        """Whether nothing is ever kept."""
        return self.mode == "off" or not self.levels

    @property
    def keep_s(self) -> float:
        """How long an answer is kept after it went stale."""
        return max(self.swr_s, self.stale_if_error_s)


NO_CACHE: Final = CachePolicy(mode="off", levels=())


@dataclass(frozen=True, slots=True)
class MemoryPolicy:
    """What happens when the process grows.

    Attributes:
        limit_bytes: Most memory of the process. None takes what the control group allows, and without one what the
            process has and the machine has left; that guess makes caches small and never refuses a call.
        soft: Share of the limit at which caches shrink to half.
        high: Share at which caches are off, and calls of priority `cost` are refused.
        critical: Share at which every new call is refused.
        interval_s: Between two looks, give or take a fifth.

    Raises:
        LLMValidationError: Shares that do not rise, or a number out of its range.
    """

    limit_bytes: int | None = None
    soft: float = 0.7
    high: float = 0.8
    critical: float = 0.9
    interval_s: float = 5.0

    def __post_init__(self) -> None:
        """Refuse levels that could not be told apart."""
        if not 0 < self.soft <= self.high <= self.critical <= 1:
            shares = f"{self.soft}, {self.high}, {self.critical}"
            raise LLMValidationError(f"memory: soft, high and critical must rise from 0 to 1, not {shares}")
        _check("memory", interval_s=(self.interval_s, 0.001, 86_400), limit_bytes=(self.limit_bytes, 1, math.inf))
