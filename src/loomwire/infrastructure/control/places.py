"""Where the sockets of processes are: each has its own beside the configured name, with its process id in it."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LONGEST: Final = 103
"""Bytes that the path of a socket may have on every system with such sockets."""

_SUFFIX_BYTES: Final = len("-4194304-99")
_CONTAINERS: Final = 99
_WAITING: Final = 16
_CONNECT_S: Final = 1.0
# Between its making and its first accepted connection a socket refuses everybody.
_NEW_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Place:
    """A socket that listens.

    Attributes:
        path: Its file.
        listening: The socket.
    """

    path: Path
    listening: socket.socket

    def close(self) -> None:
        """Stop listening and remove the file."""
        self.listening.close()
        self.path.unlink(missing_ok=True)


def is_too_long(named: Path) -> bool:
    """Tell whether processes could have no socket beside this one, because the path is too long for one."""
    return len(os.fsencode(named)) + _SUFFIX_BYTES > LONGEST


def open_place(named: Path) -> Place:
    """Listen on a socket of this process beside the configured one; only its user may connect. Blocks on files.

    The folder is made when it is missing. What dead processes left there is removed.

    Args:
        named: `run/loomwire.sock` becomes `run/loomwire-<pid>.sock`, and `-2` for a second container of the process.

    Raises:
        OSError: The folder cannot be made or written, or the path is too long.
    """
    named.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    remove_stale(named)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path = _bound(listening, named)
        # Nobody can connect before `listen`, so that nobody connects before this.
        path.chmod(0o600)
        listening.listen(_WAITING)
    except BaseException:
        listening.close()
        raise
    listening.setblocking(False)  # noqa: FBT003  # the standard library's own signature
    return Place(path, listening)


def places(named: Path, user: int | None = None) -> tuple[Path, ...]:
    """Return the sockets beside the configured one, of processes living and dead, by name. Blocks on files.

    Args:
        named: The configured socket.
        user: Sockets of others than this user id are left out, because they could say anything; root sees all. None
            is the user of this process.
    """
    pattern = re.compile(rf"{re.escape(named.stem)}-[0-9]+(-[0-9]+)?{re.escape(named.suffix)}")
    try:
        found = [path for path in named.parent.iterdir() if pattern.fullmatch(path.name)]
    except OSError:
        return ()
    asking = os.geteuid() if user is None else user
    return tuple(sorted(path for path in found if _is_socket_for(asking, path)))


def remove_stale(named: Path) -> tuple[Path, ...]:
    """Remove the sockets on which nobody listens any more; return them. Blocks on files."""
    removed = tuple(path for path in places(named) if _is_aged(path) and is_deserted(path))
    for path in removed:
        with suppress(OSError):
            path.unlink()
    return removed


def is_deserted(path: Path) -> bool:
    """Tell whether nobody listens on a socket. Not by the process id: it may be of another container's processes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trying:
        trying.settimeout(_CONNECT_S)
        try:
            trying.connect(os.fspath(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _bound(listening: socket.socket, named: Path) -> Path:
    for path in _own_paths(named):
        try:
            listening.bind(os.fspath(path))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return path
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _own_paths(named: Path) -> Iterator[Path]:
    pid = os.getpid()
    yield named.with_name(f"{named.stem}-{pid}{named.suffix}")
    yield from (named.with_name(f"{named.stem}-{pid}-{n}{named.suffix}") for n in range(2, _CONTAINERS + 1))


def _is_socket_for(user: int, path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISSOCK(found.st_mode) and user in (0, found.st_uid)


def _is_aged(path: Path) -> bool:
    try:
        return time.time() - path.lstat().st_mtime > _NEW_S
    except OSError:
        return False
