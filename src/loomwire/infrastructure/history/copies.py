"""Copies of the files of a configuration: made whole, compared, and put back in place."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from loomwire.infrastructure.configuration.documents import MAX_BYTES
from loomwire.infrastructure.configuration.files import CONFIG_SUFFIXES, UnreadableError, absolute, read_regular


def folder_of(root: Path) -> Path:
    """Return the absolute folder of a configuration, which may be a single file."""
    # Absolute, because a host may name the folder in another way than the container was opened with.
    return Path(absolute(root.parent if root.is_file() else root))


def own_files(root: Path) -> Iterator[Path]:
    """Yield the files that are read because they are there, not because another one names them."""
    if not root.is_dir():
        yield root
        return
    for path in root.iterdir():
        if path.suffix.lower() in CONFIG_SUFFIXES and not path.name.startswith(".") and path.is_file():
            yield path


def copied(folder: Path, files: Sequence[str], into: Path) -> Iterator[str]:
    """Copy files below a folder, and yield their names from it; what is gone or elsewhere is left out."""
    for file in files:
        path = Path(absolute(file))
        if not path.is_relative_to(folder):
            continue
        name = path.relative_to(folder).as_posix()
        try:
            content = read_regular(path, MAX_BYTES)
        except UnreadableError:
            continue
        (into / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        (into / name).write_bytes(content)
        shutil.copymode(path, into / name)
        yield name


def is_as_read(folder: Path, files: Sequence[str], contents: Sequence[bytes], copies: Path) -> bool:
    """Tell whether copies hold what these digests were made of."""
    # Without strict, because who has no digests gives none.
    for file, digest in zip(files, contents, strict=False):
        path = Path(absolute(file))
        if path.is_relative_to(folder):
            copy = copies / path.relative_to(folder)
            if not copy.is_file() or hashlib.blake2b(copy.read_bytes(), digest_size=32).digest() != digest:
                return False
    return True


def save(file: Path, into: Path) -> None:
    """Copy a file whole, whatever it holds; raise OSError when that fails, because it is about to be replaced."""
    if file.is_file():
        into.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copy2(file, into)


def mode_of(path: Path) -> int:
    """Return who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


def places_of(folder: Path, contents: Mapping[str, bytes], others: Iterable[str]) -> dict[str, Path]:
    """Return where files really are, links followed, after a look whether all can be written; nothing is touched.

    Args:
        folder: Of the configuration.
        contents: What is to be written, by name.
        others: Names of files that are to go.

    Raises:
        OSError: Why not; `strerror` says it of which file.
    """
    places = {name: _real(folder / name) for name in contents}
    gone = {name: folder / name for name in others}
    for name, place in {**places, **gone}.items():
        # The kubelet's folders of such names are swapped by links; what is written there is gone with the next swap.
        if any(part.startswith("..") for part in _real(place).parts):
            raise OSError(errno.EROFS, f"{name} is mounted by Kubernetes: edit the ConfigMap or Secret")
        if not _may_write(place.parent):
            raise OSError(errno.EACCES, f"{name} leads to a place that cannot be written")
    names: dict[Path, str] = {}
    for name, place in places.items():
        first = names.setdefault(place, name)
        if contents[first] != contents[name]:
            raise OSError(errno.EEXIST, f"{first} and {name} are one file now")
    return places


def _real(path: Path) -> Path:
    # Not Path.resolve, which raises RuntimeError for links that lead in a circle.
    try:
        return Path(os.path.realpath(path, strict=True))
    except FileNotFoundError:
        return Path(os.path.realpath(path))


def _may_write(folder: Path) -> bool:
    there = next(each for each in (folder, *folder.parents) if each.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def put(target: Path, content: bytes, mode: int) -> None:
    """Put a file in place whole, with the mode of the one that it replaces, else with this one; it is no link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Hidden, because every *.yaml that is not is configuration.
    new = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        # Before it holds anything, because that may be a key.
        new.touch(mode=0o600)
        new.write_bytes(content)
        new.chmod(mode_of(target) if target.exists() else mode)
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)
