"""What one reading of a configuration leaves for the next: what is the same is neither parsed nor made again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from loomwire.domain.config import ClientConfig, LLMConfig, Snapshot, same_client, same_model
from loomwire.domain.errors import ConfigError
from loomwire.infrastructure.configuration.documents import Document
from loomwire.infrastructure.configuration.files import UnreadableError, read_regular
from loomwire.infrastructure.configuration.scalars import Plain

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Kept(Generic[_T]):
    """What was made, and from what."""

    raw: Plain
    words: str
    parents: tuple[LLMConfig, ...]
    recorded: str
    made: _T


class Entries(Generic[_T]):
    """The entries of one section. One made from the same words and the same parents stays the same object.

    Args:
        same: Compares two entries.
    """

    def __init__(self, same: Callable[[_T, _T], bool]) -> None:
        """Keep nothing yet."""
        self._same = same
        self._kept: dict[str, _Kept[_T]] = {}
        self._now: dict[str, _Kept[_T]] = {}

    def keep(self) -> None:
        """End a reading; what it did not ask for is forgotten."""
        self._kept, self._now = self._now, {}

    def entry(
        self,
        name: str,
        raw: Plain,
        parents: tuple[LLMConfig, ...],
        make: Callable[[], _T],
        before: _T | None,
        recorded: str = "",
    ) -> _T:
        """Return an entry, made only when it is needed.

        Args:
            name: Its name.
            raw: Its words.
            parents: What it inherits from.
            make: Makes it.
            before: The one in force, which is returned when it is the same.
            recorded: Identifies what it answers from.
        """
        kept = self._kept.get(name)
        # `1`, `1.0` and `true` are equal; what they look like is not.
        words = repr(raw)
        if (
            kept is None
            or kept.words != words
            or kept.recorded != recorded
            or not _are(kept.parents, parents)
            or kept.raw != raw
        ):
            kept = _Kept(raw, words, parents, recorded, make())
        if before is not None and kept.made is not before and self._same(before, kept.made):
            kept = replace(kept, made=before)
        self._now[name] = kept
        return kept.made


class Memory:
    """Documents, entries and recordings of the last reading. For one reading at a time.

    Attributes:
        models: Models by name.
        clients: Clients by name.
        before: What is in force.
        recordings: By folder of recordings, what identifies its content and what is wrong with it.
    """

    def __init__(self) -> None:
        """Know nothing."""
        self._providers: dict[str, LLMConfig] = {}
        self._providers_now: dict[str, LLMConfig] = {}
        self.models: Entries[LLMConfig] = Entries(same_model)
        self.clients: Entries[ClientConfig] = Entries(same_client)
        self.before: Snapshot | None = None
        self.recordings: dict[Path, tuple[str, ConfigError | None]] = {}
        self._recordings: Mapping[Path, tuple[str, ConfigError | None]] = {}
        self._documents: dict[str, Document] = {}
        self._last: Mapping[str, Document] = {}

    def begin(self, before: Snapshot | None) -> None:
        """Begin a reading."""
        self.before = before
        self._recordings, self.recordings = self.recordings, {}
        self._providers_now = {}
        self._last, self._documents = self._documents, {}

    def keep(self) -> None:
        """End a reading that gave a configuration."""
        self._providers = self._providers_now
        self.models.keep()
        self.clients.keep()

    def document(self, name: str, data: bytes) -> Document:
        """Return what a file says; parsed only when its content is another than last time."""
        known = self._last.get(name)
        if known is None or known.digest != hashlib.blake2b(data, digest_size=32).digest():
            known = Document(name, data)
        self._documents[name] = known
        return known

    def provider(self, name: str, made: LLMConfig) -> LLMConfig:
        """Return what models inherit from a provider: the object of last time when it is the same."""
        known = self._providers.get(name)
        if known is None or not same_model(known, made):
            known = made
        self._providers_now[name] = known
        return known

    def complaint(self, folder: Path) -> ConfigError | None:
        """Return what is wrong with a folder of recordings; parsed only when they are others than last time."""
        if folder not in self.recordings:
            digest = _content(folder)
            known = self._recordings.get(folder)
            self.recordings[folder] = known if known is not None and known[0] == digest else (digest, _wrong(folder))
        return self.recordings[folder][1]

    def content(self, folder: Path) -> str:
        """Return what identifies the JSON files of any folder; they are read for it."""
        return _content(folder)

    def recorded(self, folder: Path) -> str:
        """Return what identifies the content of a folder of recordings that was looked at; "" for any other."""
        return self.recordings.get(folder, ("", None))[0]


def recordings_in(folder: Path) -> list[Path]:
    """Return the files of a folder of recordings; none when it cannot be listed."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".json" and not path.name.startswith("."))
    except OSError:
        return []


def _content(folder: Path) -> str:
    # Here and below, because few configurations have recordings.
    from loomwire.infrastructure.recordings.folder import MAX_FILE

    whole = hashlib.blake2b(digest_size=16)
    for path in recordings_in(folder):
        try:
            data = read_regular(path, MAX_FILE)
        except UnreadableError as error:
            data = str(error).encode()
        whole.update(f"{len(path.name)}:{path.name}:{len(data)}:".encode(errors="surrogatepass"))
        whole.update(data)
    return whole.hexdigest()


def _wrong(folder: Path) -> ConfigError | None:
    from loomwire.infrastructure.recordings.folder import read_folder

    try:
        read_folder(folder)
    except ConfigError as error:
        return error.with_traceback(None)
    return None


def _are(some: tuple[LLMConfig, ...], others: tuple[LLMConfig, ...]) -> bool:
    return len(some) == len(others) and all(one is other for one, other in zip(some, others, strict=True))
