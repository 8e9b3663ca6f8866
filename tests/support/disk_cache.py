"""A disk level whose clocks stand still, and what can be done to its file behind its back."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from loomwire.domain.caching.entries import CacheKey
from loomwire.domain.caching.policies import DiskLevel
from loomwire.infrastructure.caching.disk.cache import DiskCache


def key(word: str, namespace: str = "planner") -> CacheKey:
    """Return the key of a word."""
    return CacheKey(namespace, hashlib.sha256(word.encode()).digest())


class Disk:
    """One file, and caches on it.

    Attributes:
        path: Of the file.
        mono: Monotonic seconds.
        wall: Seconds of the wall clock.
        stops_for: Seconds that pass on a cache's thread after reading the wall clock.
        goes_on: The disk does not hang.
    """

    def __init__(self, path: Path, size_bytes: int = 1 << 20) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self.mono = 50.0
        self.wall = 1e9
        self.stops_for = 0.0
        self.goes_on = threading.Event()
        self.goes_on.set()

    def cache(self) -> DiskCache:
        """Return a new cache on the file."""
        return DiskCache(DiskLevel(str(self.path), self.size_bytes), now=lambda: self.mono, wall=self.read_wall)

    def read_wall(self) -> float:
        """Return the wall clock's time; on a cache's thread not before the disk goes on."""
        if threading.current_thread().name == "loomwire-disk-cache":
            self.goes_on.wait()
            read = self.wall
            self.let_pass(self.stops_for)
            return read
        return self.wall

    @contextmanager
    def hanging(self) -> Generator[None]:
        """Let the disk hang."""
        self.goes_on.clear()
        try:
            yield
        finally:
            self.goes_on.set()

    def let_pass(self, seconds: float) -> None:
        """Move both clocks."""
        self.mono += seconds
        self.wall += seconds

    def beside(self, side: str) -> Path:
        """Return a file beside the file."""
        return self.path.with_name(self.path.name + side)

    def sql(self, *statements: str) -> list[tuple[object, ...]]:
        """Run statements on the file as somebody else; return the last one's rows."""
        rows: list[tuple[object, ...]] = []
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            for statement in statements:
                rows = connection.execute(statement).fetchall()
        return rows

    @contextmanager
    def locked(self) -> Generator[None]:
        """Keep others from writing."""
        with closing(sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")


async def value(cache: DiskCache, word: str, namespace: str = "planner") -> bytes | None:
    """Return what is kept for a word."""
    entry = await cache.get(key(word, namespace))
    return None if entry is None else entry.value


async def fill(cache: DiskCache, *words: str, ttl_s: float = 60.0) -> None:
    """Keep each word under itself."""
    for word in words:
        await cache.set(key(word), word.encode(), ttl_s=ttl_s)


async def fill_and_close(disk: Disk, *words: str) -> None:
    """Keep each word under itself in the file, with nobody left on it."""
    cache = disk.cache()
    await fill(cache, *words)
    await cache.aclose()
