"""Reads regular files only, up to a bound, and never waits for one: a pipe or a device is refused before it is read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

MAX_SECRET_BYTES: Final = 64 * 1024
CONFIG_SUFFIXES: Final = frozenset({".yaml", ".yml"})
NO_FILE: Final = "It must be a regular file that this process may read; check its path and mode."
"""What to do about a file that is there and cannot be read."""

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)


def absolute(path: str | os.PathLike[str]) -> str:
    """Return a path from the root of the file system, links not followed; it leads where the given one does now."""
    # Not resolve(): a link that is swapped must be watched by its own name.
    whole = Path(path).absolute()
    if ".." not in whole.parts:
        return str(whole)
    plain = Path(whole.anchor)
    for part in whole.parts[1:]:
        # Not normpath: `link/..` is the folder above what the link leads to, not the one that the link is in.
        stays = part != ".." or plain.name == ".." or plain.is_symlink()
        plain = plain / part if stays else plain.parent
    return str(plain)


class UnreadableError(Exception):
    """A file cannot be read; the message says why in a few words, and names no path."""


def read_regular(path: Path, limit: int, *, links: bool = True) -> bytes:
    """Return up to `limit` + 1 bytes of a regular file, so that the caller sees when there is more.

    Args:
        path: The file.
        limit: Most bytes wanted.
        links: Whether the last part of the path may be a symbolic link.

    Raises:
        UnreadableError: It does not exist, is not regular, or the system refuses.
    """
    try:
        # O_NONBLOCK: opening a pipe would wait for somebody to write.
        handle = os.open(path, _FLAGS | (0 if links else _NO_LINKS))
    except (OSError, ValueError) as error:
        raise UnreadableError(_why(error)) from None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise UnreadableError("it is no regular file")
        with os.fdopen(os.dup(handle), "rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise UnreadableError(_why(error)) from None
    finally:
        os.close(handle)


def read_secret(path: Path) -> str:
    """Return the text of a secret file without the one line break at its end.

    A symbolic link is followed only to a file below the link's own directory, as Kubernetes mounts them
    (`token -> ..data/token`), so that a link cannot be pointed at somebody else's file.

    Raises:
        UnreadableError: It is missing, empty, too large, no text, not regular, or leads elsewhere.
    """
    if ".." in path.parts:
        raise UnreadableError("its path must not contain `..`")
    try:
        real = path.resolve(strict=True)
        if path.is_symlink() and not real.is_relative_to(path.parent.resolve(strict=True)):
            raise UnreadableError("it is a link that leads out of its directory")
    except (OSError, RuntimeError, ValueError) as error:
        raise UnreadableError(_why(error)) from None
    data = read_regular(real, MAX_SECRET_BYTES, links=False)
    if len(data) > MAX_SECRET_BYTES:
        raise UnreadableError(f"it is larger than {MAX_SECRET_BYTES // 1024} KiB")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise UnreadableError("it is no UTF-8 text") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise UnreadableError("it is empty")
    if not text.replace("\n", "").replace("\r", "").replace("\t", "").isprintable():
        raise UnreadableError("it holds control characters")
    return text


def inside(root: Path, name: str) -> Path:
    """Return the path of a file that a configuration names, which must be below its own folder.

    Raises:
        UnreadableError: It is absolute, leaves the folder, or a link leads out of it.
    """
    if "\\" in name or "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise UnreadableError("it must be a relative path with `/`, below the configuration's folder")
    path = root / name
    try:
        if path.exists() and not path.resolve().is_relative_to(root.resolve()):
            raise UnreadableError("it is a link that leads out of the configuration's folder")
    except (OSError, RuntimeError) as error:
        raise UnreadableError(_why(error)) from None
    return path


def _why(error: Exception) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "there is no such file"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "its path is not usable"
