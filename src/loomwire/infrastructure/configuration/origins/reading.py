"""A configuration that is in force, read once more layer by layer: who says what, before anything is merged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, TypeAlias, final

from loomwire.infrastructure.configuration.documents import MAX_BYTES, Document
from loomwire.infrastructure.configuration.environment import find_overrides, overlay, read_dotenv
from loomwire.infrastructure.configuration.files import CONFIG_SUFFIXES, read_regular
from loomwire.infrastructure.configuration.injection import Ingredient, Injector
from loomwire.infrastructure.configuration.origins.masking import Valid
from loomwire.infrastructure.configuration.scalars import KeyPath, Plain
from loomwire.infrastructure.configuration.schema.settings import Settings
from loomwire.infrastructure.configuration.tree import ConfigTree

LayerKind: TypeAlias = Literal["environment", ".env", "secret file", "yaml"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one layer says about a key.

    Attributes:
        kind: The layer.
        path: Where it says so; above the key that was asked for when one word stands for a block.
        value: What it says, once everything is put in.
        variable: The variable that says so, in the layers above the YAML.
        place: File, line and column, in the YAML.
        ingredients: What went into the value.
    """

    kind: LayerKind
    path: KeyPath
    value: Plain
    variable: str | None = None
    place: tuple[str, int, int] | None = None
    ingredients: tuple[Ingredient, ...] = ()


@final
class Reading:
    """The layers of one configuration.

    Attributes:
        values: What they say together, names and keys as written.
    """

    def __init__(self, root: Path, files: Sequence[str], environ: Mapping[str, str]) -> None:
        """Read the files of a configuration that loads; `of` says which."""
        folder = root.parent if root.is_file() else root
        dotenv = read_dotenv(folder)
        self._injector = Injector(environ, dotenv, folder)
        self._tree = ConfigTree((Document(name, read_regular(Path(name), MAX_BYTES)) for name in files), self._injector)
        # Each source alone, because only together do they hide who said it.
        none: Mapping[str, str] = {}
        alone = [
            find_overrides(sources, self._tree.values, self._injector) for sources in ((environ, none), (none, dotenv))
        ]
        both = find_overrides((environ, dotenv), self._tree.values, self._injector)
        self._layers: tuple[tuple[LayerKind, Mapping[str, Plain], Mapping[KeyPath, str]], ...] = (
            ("environment", alone[0].layers[0], alone[0].origins),
            (".env", alone[1].layers[1], alone[1].origins),
            ("secret file", both.layers[2], both.origins),
        )
        values: Plain = self._tree.values
        for _, layer, _ in reversed(self._layers):
            values = overlay(values, layer)
        self.values: Mapping[str, Plain] = values if isinstance(values, Mapping) else {}
        settings = Settings.read([*(layer for _, layer, _ in self._layers), self._tree.values])
        self._valid: Mapping[str, Valid] = settings.model_dump(by_alias=True)

    @classmethod
    def of(cls, root: Path, files: Sequence[str], environ: Mapping[str, str]) -> Self:
        """Read a configuration that was just loaded.

        Args:
            root: The folder, or the single file.
            files: What was read, as `Snapshot.files` lists it; files that options name have no layer of their own.
            environ: The process environment.

        Raises:
            UnreadableError: A file is gone meanwhile.
        """
        own = [str(root)] if root.is_file() else [name for name in files if _is_config(root, Path(name))]
        return cls(root, own, environ)

    def said(self, path: KeyPath) -> Iterator[Said]:
        """Yield what each layer says about a key, strongest first; silent layers are left out."""
        for kind, layer, origins in self._layers:
            found = find(layer, path)
            if found is not None:
                where, value = found
                variable = next((name for above, name in origins.items() if above == where), None)
                yield Said(kind=kind, path=where, value=value, variable=variable)
        found = find(self._tree.values, path)
        if found is not None:
            where, value = found
            reference = self._tree.reference(where)
            yield Said(
                kind="yaml",
                path=where,
                value=value,
                place=self._tree.place(where),
                ingredients=() if reference is None else tuple(self._injector.ingredients(reference)),
            )

    def valid(self, path: KeyPath) -> Valid:
        """Return the value of a key as it was validated, defaults of its own block filled in; None where there is none.

        What stands for a whole block in one word is returned as it is written.
        """
        value: Valid = self._valid
        for step in path:
            value = value.get(str(step)) if isinstance(value, Mapping) else None
        if isinstance(value, Mapping):
            found = find(self.values, path)
            return value if found is None else found[1]
        return value


def find(values: Plain, path: KeyPath) -> tuple[KeyPath, Plain] | None:
    """Return where the value of a key stands, and the value; None when nobody says anything.

    A word that stands for a block is found for every key of the block.
    """
    for depth, step in enumerate(path):
        if isinstance(values, Mapping):
            if str(step) not in values:
                return None
            values = values[str(step)]
        elif isinstance(values, str):
            return path[:depth], values
        else:
            return None
    return path, values


def _is_config(root: Path, file: Path) -> bool:
    return file.parent == root and file.suffix.lower() in CONFIG_SUFFIXES and not file.name.startswith(".")
