"""Generations of a configuration in a folder of their own: what changed, when, and the files as they were.

One folder for each generation, named by its number, put in place whole. It holds the YAML files and those they name,
never `.env`, secret files, recordings or models. What the YAML holds itself is in the copies too, so the folder is its
owner's alone.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import Final, final

from loomwire.domain.errors import ConfigError, UnknownNameError
from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.history.copies import (
    copied,
    folder_of,
    is_as_read,
    mode_of,
    own_files,
    places_of,
    put,
    save,
)

KEPT: Final = 20
"""Generations that are kept unless somebody says otherwise."""

_LOGGER = logging.getLogger("loomwire.history")
_FACTS, _FILES = "generation.json", "files"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptGeneration:
    """One generation of the folder.

    Attributes:
        number: Its number in the folder; a process counts its own.
        digest: Identifies its content.
        when: When it came into force, as ISO 8601 in UTC.
        files: Its files, from the configuration's folder.
        changes: What it changed, as `Change.to_dict` says it.
    """

    number: int
    digest: str
    when: str
    files: tuple[str, ...]
    changes: tuple[JSONObject, ...] = ()

    def to_dict(self) -> dict[str, JSON]:
        """Return the generation as JSON."""
        said: dict[str, JSON] = {"number": self.number, "digest": self.digest, "when": self.when}
        return {**said, "files": [*self.files], "changes": [*self.changes]}


@final
class HistoryFolder:
    """Keeps the last generations in a folder. Several processes may share it; it blocks on files.

    Args:
        folder: Made when the first generation is kept.
        keep: How many generations are kept.
    """

    def __init__(self, folder: Path, keep: int = KEPT) -> None:
        """Touch nothing yet."""
        self._folder = folder
        self._keep = keep

    def entries(self) -> tuple[KeptGeneration, ...]:
        """Return what is kept, oldest first; what cannot be read is left out."""
        found = (self._entry(number) for number in self._numbers())
        return tuple(entry for entry in found if entry is not None)

    def add(
        self,
        root: Path,
        files: Sequence[str],
        digest: str,
        changes: Sequence[JSONObject] = (),
        contents: Sequence[bytes] = (),
    ) -> KeptGeneration | None:
        """Keep a generation that just came into force.

        None when it is the last one kept already, or when its files hold something else by now: a copy of that would
        be put back as what was in force.

        Args:
            root: The configuration: its folder, or its only file.
            files: What it was read from, as `Snapshot.files` names it; what is not below the folder is left out.
            digest: Identifies its content.
            changes: What it changed.
            contents: Digests of the files, as `Snapshot.contents` has them; without them nothing is compared.

        Raises:
            OSError: The folder cannot be written.
        """
        known = self.entries()
        if known and known[-1].digest == digest:
            return None
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Begun beside its place, so that nobody ever sees half of it.
        begun = Path(mkdtemp(prefix=".begun-", dir=self._folder))
        try:
            names = self._same(known, digest, begun) or tuple(copied(folder_of(root), files, begun / _FILES))
            if not is_as_read(folder_of(root), files, contents, begun / _FILES):
                _LOGGER.warning("a generation is not kept: its files were changed before they were copied")
                return None
            when = datetime.now(UTC).isoformat(timespec="milliseconds")
            entry = self._placed(begun, digest, when, names, tuple(changes))
        finally:
            shutil.rmtree(begun, ignore_errors=True)
        for number in self._numbers()[: -self._keep]:
            shutil.rmtree(self._folder / _name(number), ignore_errors=True)
        return entry

    def restore(self, number: int, root: Path) -> tuple[str, ...]:
        """Write the files of a generation back, so that whoever watches the configuration adopts them as an edit.

        What stands there now is moved into the history first, also files that the generation did not have. A file
        that is a link stays one: what it leads to is written, also outside the folder. Nothing is written when a file
        leads to a place that cannot be, or into a mounted ConfigMap or Secret, which is changed at its source.

        Args:
            number: Of a generation that is kept.
            root: The configuration: its folder, or its only file.

        Returns:
            The files written, from the configuration's folder.

        Raises:
            UnknownNameError: It is not kept.
            ConfigError: A copy is gone, or a file cannot be written; it says which.
        """
        entry = self._entry(number)
        if entry is None:
            kept = ", ".join(str(each.number) for each in self.entries()) or "none"
            raise UnknownNameError(f"there is no generation {number} in {self._folder}", hint=f"Kept: {kept}.")
        if not entry.files:
            raise ConfigError(f"generation {number} cannot be put back (it has no files)", reason="rejected")
        try:
            self._put_back(entry, root)
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise ConfigError(f"generation {number} cannot be put back ({why})", reason="rejected") from None
        return entry.files

    def _put_back(self, entry: KeptGeneration, root: Path) -> None:
        folder, copies = folder_of(root), self._folder / _name(entry.number) / _FILES
        contents = {name: ((copies / name).read_bytes(), mode_of(copies / name)) for name in entry.files}
        own = {path.name for path in own_files(root)}
        written = {name: content for name, (content, _) in contents.items()}
        places = places_of(folder, written, sorted(own - contents.keys()))
        saved = Path(mkdtemp(prefix="before-rollback-", dir=self._folder))
        for name in sorted({*own, *entry.files}):
            save(folder / name, saved / name)
        for name, (content, mode) in contents.items():
            put(places[name], content, mode)
        for name in own - contents.keys():
            (folder / name).unlink()

    def _same(self, known: Sequence[KeptGeneration], digest: str, begun: Path) -> tuple[str, ...]:
        """Copy the files of a kept generation of the same content, and return their names; empty when none is kept."""
        # After a rollback inside a process the files of the configuration are not what is in force.
        for entry in reversed(known):
            if entry.digest == digest:
                with suppress(OSError):
                    shutil.copytree(self._folder / _name(entry.number) / _FILES, begun / _FILES)
                    return entry.files
                shutil.rmtree(begun / _FILES, ignore_errors=True)
        return ()

    def _numbers(self) -> list[int]:
        with suppress(OSError):
            return sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdecimal())
        return []

    def _entry(self, number: int) -> KeptGeneration | None:
        try:
            facts = json.loads((self._folder / _name(number) / _FACTS).read_text(encoding="utf-8"))
            return KeptGeneration(
                number=number,
                digest=str(facts["digest"]),
                when=str(facts["when"]),
                files=tuple(map(str, facts["files"])),
                changes=tuple(facts["changes"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _placed(
        self, begun: Path, digest: str, when: str, files: tuple[str, ...], changes: tuple[JSONObject, ...]
    ) -> KeptGeneration:
        number = (self._numbers() or [0])[-1] + 1
        while True:
            entry = KeptGeneration(number=number, digest=digest, when=when, files=files, changes=changes)
            text = json.dumps({"schema": "loomwire/generation/1", **entry.to_dict()}, default=dict, indent=1)
            (begun / _FACTS).write_text(text, encoding="utf-8")
            try:
                # A folder that is not empty is never replaced, so another process's generation is safe.
                begun.rename(self._folder / _name(number))
            except OSError:
                if not (self._folder / _name(number)).exists():
                    raise
                number += 1
            else:
                return entry


def _name(number: int) -> str:
    return f"{number:06d}"
