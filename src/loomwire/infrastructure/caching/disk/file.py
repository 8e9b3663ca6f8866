"""The file of the disk level: made, looked at before SQLite sees it, opened, set aside."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import mkstemp
from typing import Final, final
from urllib.parse import quote

from loomwire.infrastructure.caching.disk.schema import (
    HEAD_BYTES,
    VERSION,
    ForeignSchemaError,
    blank,
    check_schema,
    read_head,
    read_version,
)

BUSY_S: Final = 0.02
"""How long a step waits for another process."""

BUSY: Final = frozenset({5, 6, 15})
"""Result codes of SQLite that say that another process is at it."""

_OPENING_S: Final = 0.25
_DAMAGE: Final = frozenset({11, 26})
_SIDE_FILES: Final = ("-wal", "-shm", "-journal")
_PRAGMAS: Final = (
    # What a file's schema says is not to be run, should somebody get past `check_schema`.
    "trusted_schema=OFF",
    "cell_size_check=ON",
    # Without memory mapping: a mapped file that somebody cuts ends the process.
    "mmap_size=0",
    # A loss of power may cost the last entries, never the file; OFF would save one fsync per checkpoint.
    "synchronous=NORMAL",
    # Checkpoints are ours alone and under the folder's lock: SQLite before 3.51.3 may damage a file when two processes
    # run one at the same instant.
    "wal_autocheckpoint=0",
    "journal_size_limit=16777216",
    # What was purged is overwritten.
    "secure_delete=ON",
    "temp_store=MEMORY",
)


class RefusedFileError(Exception):
    """The file cannot be ours to use, and is left as it is; the text says why, without its path."""


@final
class DiskFile:
    """Opens the one file, only by the thread that owns it; blocks on files.

    Everything that gives the path another file (making one, setting one aside, removing one) and every opening holds a
    lock on the folder, so that no process ever sees half of it, or a log that belongs to the file before.

    Args:
        path: Of the file; a relative one is resolved by the first opening, and then holds.
    """

    def __init__(self, path: Path) -> None:
        """Touch nothing yet."""
        self.path = path
        self._identity: tuple[int, int] | None = None

    @property
    def is_same(self) -> bool:
        """Whether the path still leads to the file that was opened."""
        return self._identity is not None and self._identify() == self._identity

    @property
    def log_bytes(self) -> int:
        """How long the write-ahead log is now."""
        try:
            return self._beside("-wal").stat().st_size
        except OSError:
            return 0

    def open(self) -> tuple[sqlite3.Connection, bool]:
        """Open the file, and make it when there is none.

        Returns:
            The connection, and whether a damaged file had to be set aside for it.

        Raises:
            RefusedFileError: It is not ours.
            OSError, sqlite3.Error: It cannot be made, read or written.
        """
        self.path = self.path.absolute()
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._alone(_OPENING_S):
            made = self._look()
            if made:
                return self._connect(), made == "damaged"
            try:
                return self._connect(), False
            except (sqlite3.Error, TypeError, ValueError) as error:
                if not is_damage(error):
                    raise
            self._set_aside()
            self._make()
            return self._connect(), True

    def set_aside(self) -> None:
        """Move the file to `*.damaged`, in place of an earlier one.

        Raises:
            OSError: It cannot be moved.
        """
        with self._alone(_OPENING_S):
            if self.is_same:
                self._set_aside()

    def remove(self) -> None:
        """Delete the file, when it is ours, so that nothing that was kept there is ever found again.

        Raises:
            OSError, sqlite3.Error: It cannot be deleted.
        """
        with self._alone(_OPENING_S), suppress(FileNotFoundError):
            if self.is_same or self._version() is not None:
                self.path.unlink()
                self._remove_sides()

    def checkpoint(self, connection: sqlite3.Connection, *, cut: bool = False) -> None:
        """Carry the log over into the file, and cut it; does nothing while another process is at it.

        Raises:
            sqlite3.Error: It failed.
        """
        with suppress(OSError), self._alone(BUSY_S):
            connection.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if cut else 'PASSIVE'})").fetchall()

    def _look(self) -> str:
        try:
            facts = self.path.stat()
        except FileNotFoundError:
            self._make()
            return "new"
        if not stat.S_ISREG(facts.st_mode):
            raise RefusedFileError("it is no regular file")
        if facts.st_uid != os.geteuid():
            raise RefusedFileError("it belongs to another user")
        if facts.st_size == 0:
            self._make()
            return "new"
        version = self._version()
        if version is None:
            raise RefusedFileError("it is no cache of loomwire")
        if version > VERSION:
            raise RefusedFileError("a newer version of loomwire wrote it")
        if version < VERSION:
            self._set_aside()
            self._make()
            return "new"
        self._tighten()
        return ""

    def _version(self) -> int | None:
        if not self.path.is_file():
            return None
        # By SQLite, which keeps the file open as long as it has to: who closes a file himself gives up every lock that
        # his process holds on it, also those of another container. Immutable: no log and no journal is looked at.
        try:
            with closing(sqlite3.connect(self._uri("mode=ro&immutable=1"), uri=True)) as connection:
                return read_version(connection)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
        # It may have been ours once, and nobody has it open.
        with self.path.open("rb") as file:
            return read_head(file.read(HEAD_BYTES))

    def _make(self) -> None:
        self._remove_sides()
        handle, name = mkstemp(prefix=f".{self.path.name}-", dir=self.path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(blank())
            Path(name).replace(self.path)
        finally:
            Path(name).unlink(missing_ok=True)

    def _tighten(self) -> None:
        # A journal is never ours, since a log takes its place; SQLite would replay one that somebody put there.
        self._beside("-journal").unlink(missing_ok=True)
        for path in (self.path, self._beside("-wal"), self._beside("-shm")):
            with suppress(FileNotFoundError):
                if path.stat().st_mode & 0o077:
                    path.chmod(0o600)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._uri("mode=rw"),
            BUSY_S,
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        # Text is never ours, and somebody else's need not be text.
        connection.text_factory = bytes
        try:
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}").fetchall()
            check_schema(connection)
            _check_writable(connection)
            self._identity = self._identify()
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_aside(self) -> None:
        self.path.replace(self._beside(".damaged"))
        self._remove_sides()

    def _remove_sides(self) -> None:
        for side in _SIDE_FILES:
            self._beside(side).unlink(missing_ok=True)

    def _uri(self, options: str) -> str:
        return f"file:{quote(os.fsencode(self.path))}?{options}"

    def _beside(self, side: str) -> Path:
        return self.path.with_name(self.path.name + side)

    def _identify(self) -> tuple[int, int] | None:
        try:
            facts = self.path.stat()
        except OSError:
            return None
        return facts.st_dev, facts.st_ino

    @contextmanager
    def _alone(self, patience_s: float) -> Generator[None]:
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            _lock(folder, time.monotonic() + patience_s)
            yield
        finally:
            os.close(folder)


def _check_writable(connection: sqlite3.Connection) -> None:
    # What can only be read could not forget either. Another process that writes just now proves nothing.
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if code_of(error) not in BUSY:
            raise


def code_of(error: Exception) -> int | None:
    """Return the primary result code of an error of SQLite; None for any other error."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def is_damage(error: Exception) -> bool:
    """Whether an error says that the file is not whole, or that what it holds is not what we wrote."""
    return isinstance(error, ForeignSchemaError | TypeError | ValueError) or code_of(error) in _DAMAGE


def _lock(handle: int, until: float) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.001)
        else:
            return
