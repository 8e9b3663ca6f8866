"""What a configuration looks like from outside: stat results of all it is read from, and where a change would show."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final, TypeAlias, final

from loomwire.infrastructure.configuration.files import CONFIG_SUFFIXES, absolute

Stat: TypeAlias = tuple[int, int, int, int, int]
"""dev, ino, size, mtime_ns, ctime_ns; the last gives away who restored size and mtime."""

MOST_LINKS: Final = 40
"""On one way, as in Linux."""
MOST_PARTS: Final = 128
"""Of a path; what lies deeper counts as missing."""


@dataclass(frozen=True, slots=True)
class Place:
    """A directory, by its real path, in which something may happen that matters.

    Attributes:
        identity: dev and ino.
        names: The entries that matter.
        listed: Whether a new `*.yaml` in it matters too.
        whole: Whether every entry matters.
        contents: Whether any of these entries is a file that is read; otherwise only their coming and going matters.
    """

    identity: tuple[int, int]
    names: frozenset[str]
    listed: bool
    whole: bool
    contents: bool

    def matters(self, name: str) -> bool:
        """Tell whether a change of this entry may be a change of the configuration."""
        return self.whole or name in self.names or (self.listed and is_config(name))


@dataclass(frozen=True, slots=True)
class Survey:
    """One look from outside.

    Attributes:
        files: By path what is found there, links followed; None for nothing.
        places: By real path where to listen.
    """

    files: Mapping[str, Stat | None]
    places: Mapping[str, Place]

    def differing(self, before: Survey) -> frozenset[str]:
        """Return the paths at which something else is found than before."""
        paths = self.files.keys() | before.files.keys()
        return frozenset(path for path in paths if self.files.get(path) != before.files.get(path))

    def lost(self, before: Survey) -> bool:
        """Tell whether a file went, or became empty, or came empty."""
        return any(_is_lost(self.files.get(path), before.files.get(path)) for path in self.differing(before))


def survey(root: str, further: Collection[str]) -> Survey:
    """Look at a configuration. Blocks on the file system, raises nothing.

    Args:
        root: The absolute path of the folder, or of the one file.
        further: The absolute paths of whatever else it is read from, whether it exists or not; of a folder among them
            (not the root) every entry matters.
    """
    surveyor = _Surveyor(root)
    # Not the root again: with every file that editors and logs leave beside ours it is another folder than before.
    for path in (*surveyor.listed(), *(path for path in further if path != root)):
        surveyor.file(path)
    return Survey(surveyor.files, dict(surveyor.places()))


def is_config(name: str) -> bool:
    """Tell whether a folder's entry of this name belongs to the configuration."""
    return not name.startswith(".") and PurePath(name).suffix.lower() in CONFIG_SUFFIXES


@final
class _Surveyor:
    """Walks to files part by part, as the kernel does, and notes every entry that would lead elsewhere if replaced."""

    def __init__(self, root: str) -> None:
        self.files: dict[str, Stat | None] = {}
        self._root = root
        self._real: dict[str, str | None] = {}
        self._names: dict[str, set[str]] = {}
        self._contents: set[str] = set()
        self._whole: set[str] = set()
        self._listed: str | None = None

    def listed(self) -> list[str]:
        """Return the files of the folder, or the root itself when it is no folder."""
        self._listed = self._directory(self._root, 0)
        try:
            with os.scandir(self._root) as entries:
                names = sorted(entry.name for entry in entries if is_config(entry.name))
        except (OSError, ValueError):
            return [self._root]
        self._names.setdefault(self._listed or self._root, set())
        self._contents.add(self._listed or self._root)
        return [_joined(self._root, name) for name in names]

    def file(self, path: str) -> None:
        """Note a file and the way to it."""
        if path not in self.files:
            self.files[path] = self._followed(path, 0)

    def places(self) -> Iterator[tuple[str, Place]]:
        """Yield every directory in which an entry was noted."""
        for folder, names in self._names.items():
            found = _lstat(folder)
            if found is not None and stat.S_ISDIR(found.st_mode):
                identity = (found.st_dev, found.st_ino)
                is_whole, is_read = folder in self._whole, folder in self._contents
                yield folder, Place(identity, frozenset(names), folder == self._listed, is_whole, is_read)

    def _followed(self, path: str, links: int) -> Stat | None:
        above, name = os.path.split(path)
        folder = self._directory(above, links)
        if folder is None:
            return None
        self._note(folder, name)
        real = _joined(folder, name)
        found = _lstat(real)
        if found is not None and stat.S_ISDIR(found.st_mode):
            self._names.setdefault(real, set())
            self._contents.add(real)
            self._whole.add(real)
            return found.st_dev, found.st_ino, 1, found.st_mtime_ns, found.st_ctime_ns
        self._contents.add(folder)
        if found is None:
            return None
        if stat.S_ISLNK(found.st_mode):
            target = _target(real)
            return self._followed(target, links + 1) if target and links < MOST_LINKS else None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def _directory(self, path: str, links: int) -> str | None:
        """Return the real directory that this path leads to, or None."""
        if path not in self._real:
            self._real[path] = None  # a loop leads nowhere
            if path.count(os.sep) <= MOST_PARTS:
                upwards = path.endswith(f"{os.sep}..")
                self._real[path] = self._above(path, links) if upwards else self._walked(path, links)
        return self._real[path]

    def _walked(self, path: str, links: int) -> str | None:
        above, name = os.path.split(path)
        if not name:
            return path
        folder = self._directory(above, links)
        if folder is None:
            return None
        real = _joined(folder, name)
        found = _lstat(real)
        is_link = found is not None and stat.S_ISLNK(found.st_mode)
        if found is None or is_link or self._is_ours(path):
            self._note(folder, name)
        if is_link:
            return self._behind(real, links)
        return real if found is not None else None

    def _above(self, path: str, links: int) -> str | None:
        below = self._directory(os.path.split(path)[0], links)
        return below and str(Path(below).parent)

    def _behind(self, link: str, links: int) -> str | None:
        target = _target(link)
        if target is None or links >= MOST_LINKS:
            return None
        above, name = os.path.split(target)
        beside = self._directory(above, links + 1)
        if beside is None:
            return None
        self._note(beside, name)
        return self._directory(target, links + 1)

    def _is_ours(self, path: str) -> bool:
        return path == self._root or path.startswith(self._root + os.sep)

    def _note(self, folder: str, name: str) -> None:
        self._names.setdefault(folder, set()).add(name)


def _joined(folder: str, name: str) -> str:
    return folder + name if folder.endswith(os.sep) else f"{folder}{os.sep}{name}"


def _target(link: str) -> str | None:
    try:
        return absolute(Path(link).parent / Path(link).readlink())
    except OSError:
        return None


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (OSError, ValueError):
        return None


def _is_lost(now: Stat | None, before: Stat | None) -> bool:
    had_content = before is not None and before[2] > 0
    return had_content if now is None else now[2] == 0 and (had_content or before is None)
