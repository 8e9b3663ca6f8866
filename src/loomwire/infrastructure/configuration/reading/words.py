"""Everything that one reading of a configuration brought together, before anybody judges it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from loomwire.infrastructure.configuration.documents import Document
from loomwire.infrastructure.configuration.environment import Overrides
from loomwire.infrastructure.configuration.injection import Injector
from loomwire.infrastructure.configuration.options import Options
from loomwire.infrastructure.configuration.reading.memory import Memory, recordings_in
from loomwire.infrastructure.configuration.scalars import Plain
from loomwire.infrastructure.configuration.tree import ConfigTree


@dataclass(frozen=True, slots=True)
class Words:
    """What files and variables say.

    Attributes:
        folder: Where the files are.
        documents: Its YAML files.
        injector: Knows which variables and secret files were asked for.
        tree: The files as one.
        overrides: What variables say about keys.
        values: All of it, merged.
        options: What offline providers play.
    """

    folder: Path
    documents: list[Document]
    injector: Injector
    tree: ConfigTree
    overrides: Overrides
    values: Mapping[str, Plain]
    options: Options

    @property
    def read(self) -> list[Document]:
        """Every file that was read, those of the options included."""
        return [*self.documents, *self.options.documents]

    def files(self, memory: Memory) -> Iterator[Path]:
        """Yield every file that this came from or would have, and the folders of recordings."""
        yield self.folder / ".env"
        yield from (Path(document.name) for document in self.documents)
        yield from self.injector.files
        yield from self.options.files
        for folder in memory.recordings:
            yield folder
            yield from recordings_in(folder)

    def digest(self, memory: Memory) -> str:
        """Return one word for files, variables, secret files and recordings; it reveals none of them."""
        whole = hashlib.blake2b(digest_size=16)
        parts = [(Path(document.name).relative_to(self.folder).as_posix(), document.digest) for document in self.read]
        parts += [(f"${name}", digest) for name, digest in sorted(self.injector.used.items())]
        held = sorted((path.relative_to(self.folder).as_posix(), found[0]) for path, found in memory.recordings.items())
        parts += [(f"{name}/", digest.encode()) for name, digest in held]
        for name, digest in parts:
            whole.update(f"{len(name)}:{name}:{digest.hex()};".encode(errors="surrogatepass"))
        return whole.hexdigest()
