"""What the file of the disk level looks like inside, and what an entry takes there."""

from __future__ import annotations

import sqlite3
from typing import Final

APPLICATION_ID: Final = 0x4C774331
"""Tells our files from other SQLite files."""
VERSION: Final = 1
"""Of the schema; a file of a later version is left alone."""
HEAD_BYTES: Final = 100
"""What of a file's beginning `read_head` needs."""

_MAGIC: Final = b"SQLite format 3\x00"
_PAGE: Final = 8192
_WRITE_AHEAD: Final = b"\x02\x02"

# Access counts are apart from the values: an update in SQLite writes its whole row, and values may be a megabyte long.
_SCHEMA: Final = (
    (
        "CREATE TABLE fact (id INTEGER PRIMARY KEY, namespace BLOB NOT NULL, digest BLOB NOT NULL, size INTEGER"
        " NOT NULL, born INTEGER NOT NULL, fresh INTEGER NOT NULL, gone INTEGER NOT NULL, used INTEGER NOT NULL,"
        " hits INTEGER NOT NULL)"
    ),
    "CREATE UNIQUE INDEX fact_key ON fact (namespace, digest)",
    "CREATE INDEX fact_gone ON fact (gone)",
    "CREATE INDEX fact_used ON fact (used)",
    "CREATE TABLE body (id INTEGER PRIMARY KEY, sealed BLOB NOT NULL)",
    (
        "CREATE TABLE total (id INTEGER PRIMARY KEY, entries INTEGER NOT NULL, bytes INTEGER NOT NULL,"
        " seen INTEGER NOT NULL)"
    ),
)
_FACT_BYTES: Final = 260


class ForeignSchemaError(sqlite3.DatabaseError):
    """A file that says it is ours holds something that we never put in."""


def blank() -> bytes:
    """Return the bytes of a new file, ready for a write-ahead log."""
    connection = sqlite3.connect(":memory:")
    try:
        for pragma in (f"page_size={_PAGE}", "auto_vacuum=2", f"application_id={APPLICATION_ID}"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(f"PRAGMA user_version={VERSION}")
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute("INSERT INTO total VALUES (0, 0, 0, 0)")
        connection.commit()
        made = connection.serialize()
    finally:
        connection.close()
    # A memory database knows no write-ahead log; these two bytes of the header say that a file has one.
    return made[:18] + _WRITE_AHEAD + made[20:]


def read_head(head: bytes) -> int | None:
    """Return the schema version of a damaged file of ours by its first `HEAD_BYTES` bytes; None for any other file."""
    if len(head) < HEAD_BYTES or not head.startswith(_MAGIC) or int.from_bytes(head[68:72], "big") != APPLICATION_ID:
        return None
    return int.from_bytes(head[60:64], "big")


def read_version(connection: sqlite3.Connection) -> int | None:
    """Return the schema version of a file of ours; None for any other database.

    Raises:
        sqlite3.Error: It is none, or cannot be read.
    """
    ((application,), (version,)) = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
    )
    return int(version) if application == APPLICATION_ID else None


def check_schema(connection: sqlite3.Connection) -> None:
    """Make sure that the schema is ours to the letter: no view, trigger or column that somebody else put in.

    Raises:
        ForeignSchemaError: It is not.
        sqlite3.Error: It cannot be read.
    """
    found = {row[0] for row in connection.execute("SELECT CAST(coalesce(sql, name) AS BLOB) FROM sqlite_master")}
    if found != {statement.encode() for statement in _SCHEMA} or connection.execute(
        "SELECT id FROM total"
    ).fetchall() != [(0,)]:
        raise ForeignSchemaError


def footprint(sealed: int, namespace: int) -> int:
    """Return about how many bytes of the file an entry takes, by the lengths of its envelope and its namespace."""
    usable = _PAGE - 12
    together = usable // (sealed + 12)
    pages = 1 / together if together else -(-sealed // (_PAGE - 4))
    return int(pages * _PAGE) + _FACT_BYTES + 2 * namespace
