"""DiskTable: the entries in an opened file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, final

from loomwire.domain.caching.entries import CacheEntry, CacheKey, EntryFacts
from loomwire.infrastructure.caching.disk.schema import ForeignSchemaError, footprint
from loomwire.infrastructure.caching.envelope import SLACK_S, opened, sealed

LEVEL: Final = "disk"
"""What entries say of where they were."""

SLICE: Final = 256
"""Entries, or pages, that one step deals with: a few milliseconds, in which nobody else is answered."""

_KNOWN_USES: Final = 256
_LOOK: Final = (
    "SELECT f.id, f.hits, f.born, f.gone, b.sealed FROM fact AS f JOIN body AS b ON b.id = f.id"
    " WHERE f.namespace = ? AND f.digest = ?"
)
_FACTS: Final = "SELECT namespace, digest, size, born, fresh, hits FROM fact WHERE gone > ?"
_MOST_ASKED: Final = "ORDER BY hits DESC, used DESC LIMIT ?"


class Totals(NamedTuple):
    """What the file holds.

    Attributes:
        entries: How many there are.
        size_bytes: What they take.
        oldest_ms: When the oldest was kept, by the wall clock in milliseconds; None when there is none.
    """

    entries: int
    size_bytes: int
    oldest_ms: int | None


class Dropped(NamedTuple):
    """How many entries went, by why.

    Attributes:
        expired: Their time was over.
        evicted: They had to make room.
    """

    expired: int = 0
    evicted: int = 0


@final
class DiskTable:
    """The entries in an opened file, only for the thread that owns it.

    Who was used when, and how often, is remembered here first and written with the next transaction: a look writes
    nothing.

    Args:
        connection: To a file with our schema, in autocommit mode.

    Attributes:
        connection: The same.
        ahead: An entry seemed to come from the future.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Read nothing yet."""
        self.connection = connection
        self.ahead = False
        self._uses: dict[int, tuple[int, int]] = {}
        self._last_use = 0

    @property
    def has_uses(self) -> bool:
        """Whether there are uses to be written."""
        return bool(self._uses)

    @property
    def is_full_of_uses(self) -> bool:
        """Whether so many wait that they should be written now."""
        return len(self._uses) >= _KNOWN_USES

    def find(self, key: CacheKey, wall: float) -> CacheEntry | ValueError | None:
        """Return what is kept; None when it is not there or too old, an error when it is damaged."""
        row = self.connection.execute(_LOOK, (_space(key.namespace), key.digest)).fetchone()
        if row is None:
            return None
        number, hits, born, gone, raw = row
        if not all(isinstance(figure, int) for figure in (number, hits, born, gone)) or not isinstance(raw, bytes):
            return ValueError("types")
        noted, _ = self._uses.get(number, (0, 0))
        entry = opened(key, raw, wall, level=LEVEL, hits=hits + noted + 1)
        if entry is not None:
            self._uses[number] = (noted + 1, self._use(wall))
            return entry
        self.ahead = self.ahead or born > (wall + SLACK_S) * 1000
        return None if self.ahead or gone <= wall * 1000 else ValueError("checksum")

    def put(self, key: CacheKey, value: bytes, wall: float, lifetimes: tuple[float, float]) -> None:
        """Keep a value in place of the one that may be there."""
        ttl_s, keep_s = lifetimes
        space, raw = _space(key.namespace), sealed(key, value, wall, ttl_s, keep_s)
        self.drop(key, wall)
        size, born = footprint(len(raw), len(space)), int(wall * 1000)
        times = born, born + int(ttl_s * 1000), born + int((ttl_s + keep_s) * 1000)
        added = self.connection.execute(
            "INSERT INTO fact (namespace, digest, size, born, fresh, gone, used, hits) VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
            (space, key.digest, size, *times, self._use(wall)),
        )
        self.connection.execute("INSERT OR REPLACE INTO body VALUES (?, ?)", (added.lastrowid, raw))
        self.connection.execute(
            "UPDATE total SET entries = entries + 1, bytes = bytes + ?, seen = max(seen, ?)", (size, born)
        )

    def drop(self, key: CacheKey, wall: float) -> bool:
        """Delete an entry; tell whether there was one that was not too old."""
        rows = self.connection.execute(
            "SELECT id, size, gone FROM fact WHERE namespace = ? AND digest = ?", (_space(key.namespace), key.digest)
        ).fetchall()
        self._delete((number, size) for number, size, _ in rows)
        return any(gone > wall * 1000 for _, _, gone in rows)

    def newest(self) -> int:
        """Return the number of the entry that was kept last; those that come later have higher ones."""
        return int(self.connection.execute("SELECT coalesce(max(id), 0) FROM fact").fetchone()[0])

    def purge(self, namespace: str, upto: int, most: int = SLICE) -> bool:
        """Delete some of a namespace's entries, up to a number; tell whether none is left."""
        rows = self.connection.execute(
            "SELECT id, size FROM fact WHERE namespace = ? AND id <= ? LIMIT ?", (_space(namespace), upto, most)
        ).fetchall()
        self._delete(rows)
        return len(rows) < most

    def expire(self, wall: float, most: int = SLICE) -> int:
        """Delete some of what is older than it may be; return how many that were."""
        rows = self.connection.execute("SELECT id, size FROM fact WHERE gone <= ? LIMIT ?", (int(wall * 1000), most))
        return self._delete(rows.fetchall())

    def shrink(self, limit: int, wall: float) -> Dropped:
        """Delete what is too old, then what was least recently used, until the rest takes at most `limit` bytes."""
        over = self._held() - limit
        if over <= 0:
            return Dropped()
        expired = self.expire(wall)
        self.write_uses()
        evicted = 0
        while (over := self._held() - limit) > 0:
            rows = self.connection.execute("SELECT id, size FROM fact ORDER BY used, id LIMIT ?", (SLICE,)).fetchall()
            gone = self._delete(_enough(rows, over))
            if not gone:
                raise ForeignSchemaError
            evicted += gone
        return Dropped(expired, evicted)

    def give_back(self) -> bool:
        """Give some free pages back to the file system; tell whether none is left."""
        self.connection.execute(f"PRAGMA incremental_vacuum({SLICE})").fetchall()
        return int(self.connection.execute("PRAGMA freelist_count").fetchone()[0]) == 0

    def write_uses(self) -> None:
        """Write who was used when, and how often."""
        uses = [(hits, used, number) for number, (hits, used) in self._uses.items()]
        self.connection.executemany("UPDATE fact SET hits = hits + ?, used = max(used, ?) WHERE id = ?", uses)
        self._uses.clear()

    def totals(self) -> Totals:
        """Return what the file holds."""
        entries, size = self.connection.execute("SELECT entries, bytes FROM total").fetchone()
        oldest = self.connection.execute("SELECT born FROM fact ORDER BY id LIMIT 1").fetchone()
        return Totals(int(entries), int(size), int(oldest[0]) if oldest else None)

    def seen(self) -> float:
        """Return the latest time of the wall clock, in seconds, at which something was kept."""
        return int(self.connection.execute("SELECT seen FROM total").fetchone()[0]) / 1000

    def facts(self, namespace: str | None, limit: int, wall: float) -> Sequence[EntryFacts]:
        """Return facts of the entries that were asked for most often."""
        self.write_uses()
        now, most = int(wall * 1000), max(0, limit)
        if namespace is None:
            rows = self.connection.execute(f"{_FACTS} {_MOST_ASKED}", (now, most))
        else:
            rows = self.connection.execute(f"{_FACTS} AND namespace = ? {_MOST_ASKED}", (now, _space(namespace), most))
        return [_fact(row, wall) for row in rows]

    def _held(self) -> int:
        return int(self.connection.execute("SELECT bytes FROM total").fetchone()[0])

    def _use(self, wall: float) -> int:
        # Of uses within one microsecond the later one is still the later one.
        self._last_use = max(self._last_use + 1, int(wall * 1e6))
        return self._last_use

    def _delete(self, rows: Iterable[tuple[int, int]]) -> int:
        going = list(rows)
        if not going:
            return 0
        numbers = [(number,) for number, _ in going]
        self.connection.executemany("DELETE FROM fact WHERE id = ?", numbers)
        self.connection.executemany("DELETE FROM body WHERE id = ?", numbers)
        for number, _ in going:
            self._uses.pop(number, None)
        freed = sum(size for _, size in going)
        self.connection.execute("UPDATE total SET entries = entries - ?, bytes = bytes - ?", (len(going), freed))
        return len(going)


def _enough(rows: Iterable[tuple[int, int]], over: int) -> Iterator[tuple[int, int]]:
    for number, size in rows:
        if over <= 0:
            return
        over -= size
        yield number, size


def _fact(row: tuple[bytes, bytes, int, int, int, int], wall: float) -> EntryFacts:
    space, digest, size, born, fresh, hits = row
    name = space.decode("utf-8", "surrogatepass")
    return EntryFacts(LEVEL, name, digest.hex(), size, max(0.0, wall - born / 1000), fresh / 1000 - wall, hits)


def _space(namespace: str) -> bytes:
    return namespace.encode("utf-8", "surrogatepass")
