"""A folder of recordings: one file per exchange, written whole or not at all. Everything here blocks on files."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loomwire.domain.errors import ConfigError
from loomwire.domain.policies import MIB
from loomwire.infrastructure.recordings.exchange import Exchange
from loomwire.infrastructure.recordings.form import UnreadableExchangeError, from_bytes, to_bytes

MAX_FILE: Final = 128 * MIB
"""Bytes of a file that is read; the largest answer of a client takes two thirds of it."""

_NUMBER = re.compile(r"(\d{4,9})-")
_UNFIT = re.compile(r"[^a-z0-9_.]+")


@dataclass(frozen=True, slots=True)
class Stored:
    """An exchange and the name of its file."""

    name: str
    exchange: Exchange

    @property
    def number(self) -> int:
        """The number its name begins with, or 0."""
        found = _NUMBER.match(self.name)
        return int(found[1]) if found else 0


def read_folder(folder: Path) -> tuple[Stored, ...]:
    """Return every recording of a folder, in the order of their numbers, then names; hidden files are left alone.

    Raises:
        ConfigError: There is no such folder, it has no recordings, or some cannot be read; the first is named.
    """
    stored = read_any(folder)
    if not stored:
        here = folder.is_dir()
        what = "the folder has no recordings" if here else "there is no such folder of recordings"
        raise _unusable(folder, what)
    return stored


def read_any(folder: Path) -> tuple[Stored, ...]:
    """Return every recording of a folder that may be empty or absent; else as `read_folder`."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".json" and path.name[0] != ".")
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except (OSError, ValueError):
        raise _unusable(folder, "the folder of recordings cannot be read", "Check its path and mode.") from None
    stored: list[Stored] = []
    broken: list[str] = []
    for path in paths:
        try:
            stored.append(Stored(path.name, _read(path)))
        except UnreadableExchangeError as error:
            broken.append(f"{path.name}: {error}")
    if broken:
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise _unusable(folder, f"{broken[0]}{more}", "Repair or remove the file, or record it anew.")
    # By number first: 10000 comes after 9999.
    return tuple(sorted(stored, key=lambda each: (each.number, each.name)))


def write_exchange(folder: Path, name: str, exchange: Exchange) -> None:
    """Write an exchange into a folder, which is made when it is not there; a reader sees the old file or the new one.

    Raises:
        OSError: It cannot be written; nothing is left behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{name}.{os.getpid()}.{threading.get_ident()}.tmp"
    try:
        beside.write_bytes(to_bytes(exchange))
        beside.replace(folder / name)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def file_name(number: int, words: str) -> str:
    """Return the name of a recording's file, such as `0001-openai-chat_completions-3ccb72.json`."""
    return f"{number:04}-{words}.json"


def slug(words: str) -> str:
    """Return words as a part of a file's name."""
    return _UNFIT.sub("_", words.lower()).strip("_.")[:40] or "other"


def _read(path: Path) -> Exchange:
    try:
        if not path.is_file():
            raise UnreadableExchangeError("it is no regular file")
        if path.stat().st_size > MAX_FILE:
            raise UnreadableExchangeError(f"it is larger than {MAX_FILE // MIB} MiB")
        return from_bytes(path.read_bytes())
    except OSError:
        raise UnreadableExchangeError("it cannot be read; check its mode") from None


def _unusable(folder: Path, what: str, hint: str | None = None) -> ConfigError:
    # The folder's name and not its path: errors travel, and a path says where somebody's home is.
    return ConfigError(f"recordings {folder.name!r}: {what}", reason="recordings", hint=hint)
