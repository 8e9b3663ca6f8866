"""Turns the blocks of what is kept into the domain's policies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from loomwire.domain.caching.policies import (
    CachePolicy,
    DiskLevel,
    Level,
    MemoryLevel,
    MemoryPolicy,
    RedisLevel,
    SemanticPolicy,
)
from loomwire.infrastructure.configuration.files import absolute
from loomwire.infrastructure.configuration.reading.tuning import over
from loomwire.infrastructure.configuration.schema import keeping

_KEEP: Final[Mapping[str, str]] = {
    **{name: name for name in ("mode", "ttl_jitter", "max_entry", "scope", "truncated", "equivalent")},
    **{name: f"{name}_s" for name in ("ttl", "swr", "stale_if_error")},
}
_MEMORY: Final[Mapping[str, str]] = {
    **{name: name for name in ("soft", "high", "critical")},
    "limit": "limit_bytes",
    "interval": "interval_s",
}


class CacheReader:
    """Reads what clients keep, over what holds for all of them.

    Args:
        defaults: What holds where a client says nothing.
        places: Where answers can be kept.
        folder: The configuration's folder, as seen from which the file is.
    """

    def __init__(self, defaults: keeping.Cache, places: keeping.CachePlaces, folder: Path) -> None:
        """Read what holds for all."""
        self._levels = dict(_levels(defaults, places, folder))
        levels = self._chosen(defaults)
        self.usual: Final = replace(over(CachePolicy(), defaults, _KEEP), levels=levels)

    def policy(self, said: keeping.ClientCache | None) -> CachePolicy:
        """Return which answers of a client are kept; the very object for all that say nothing."""
        if said is None or not said.model_fields_set:
            return self.usual
        levels = self.usual.levels if said.levels is None else self._chosen(said)
        semantic = None if said.semantic is None else _semantic(said.semantic)
        return replace(over(self.usual, said, _KEEP), levels=levels, semantic=semantic)

    def _chosen(self, said: keeping.Keep) -> tuple[Level, ...]:
        names = self._levels if said.levels is None else said.levels
        # What is named and is not there is a problem that was told already.
        return tuple(self._levels[name] for name in names if name in self._levels)


def memory_policy(defaults: keeping.Memory, said: keeping.Memory | None) -> MemoryPolicy:
    """Return what happens when the process grows."""
    return over(over(MemoryPolicy(), defaults, _MEMORY), said, _MEMORY)


def _levels(
    defaults: keeping.Cache, places: keeping.CachePlaces, folder: Path
) -> Iterator[tuple[keeping.LevelName, Level]]:
    yield "memory", MemoryLevel(defaults.l1_bytes, places.strategy)
    disk, redis = places.disk, places.redis
    if disk is not None:
        yield "disk", DiskLevel(absolute(folder / disk.path), disk.bytes, disk.timeout)
    if redis is not None:
        yield "redis", RedisLevel(redis.url, redis.prefix, redis.timeout)


def _semantic(said: keeping.Semantic) -> SemanticPolicy:
    return SemanticPolicy(said.threshold, said.shadow, said.entries, said.index, said.timeout)
