"""What offline providers play: `rules` of type rule and `script` of type mock, inline or in a file of their own.

A file is the list, or `rules:` (`script:`) with the list below it and `end: true` last, so that no half is ever read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

from loomwire.domain.reports.problems import Problem
from loomwire.domain.values import JSON, FrozenDict, JSONObject
from loomwire.infrastructure.configuration.documents import MAX_BYTES, Document, nearest
from loomwire.infrastructure.configuration.files import CONFIG_SUFFIXES, NO_FILE, UnreadableError, inside, read_regular
from loomwire.infrastructure.configuration.injection import Injector
from loomwire.infrastructure.configuration.scalars import KeyPath, Plain, freeze
from loomwire.infrastructure.configuration.tree import ConfigTree, Filler
from loomwire.infrastructure.configuration.yaml_tree import Items, Table

OptionCheck: TypeAlias = Callable[[JSON], Iterable[tuple[tuple[str | int, ...], str]]]
"""Takes an option and yields what is wrong with it: the way into it, and a sentence."""

OPTIONS: Final[Mapping[str, str]] = {"rules": "rule", "script": "mock"}
"""Every option, and the provider type that has it."""

LOCAL: Final[tuple[str, ...]] = ("model_path", "context", "parallel", "threads", "gpu_layers")
"""What only type local has; the provider's own check says what is wrong with it."""

_LOOKED_AT = 1000


@dataclass(slots=True)
class Options:
    """The options of all providers.

    Attributes:
        values: By provider, then by option; frozen to the bottom.
        documents: The files they were read from.
        problems: What is wrong with them.
        files: Every file that a provider names, readable or not.
    """

    values: dict[str, JSONObject] = field(default_factory=dict)
    documents: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


class OptionReader:
    """Reads the options of the providers of one configuration.

    Args:
        tree: Knows the places.
        root: The folder that files must be in, as the operator named it.
        injector: Knows the variables.
        checks: By option, what is wrong with a value; without a check it must be a list of mappings.
        parse: Makes a document of a file's name and content.
    """

    def __init__(
        self,
        tree: ConfigTree,
        root: Path,
        injector: Injector,
        checks: Mapping[str, OptionCheck],
        parse: Callable[[str, bytes], Document] = Document,
    ) -> None:
        """Read nothing yet."""
        self._tree = tree
        self._root = root
        self._injector = injector
        self._checks = checks
        self._parse = parse
        self._found = Options()
        self._files: dict[str, tuple[Document, Plain] | None] = {}

    def read(self, providers: Plain) -> Options:
        """Return the options of every provider."""
        for name, provider in providers.items() if isinstance(providers, Mapping) else ():
            if isinstance(provider, Mapping):
                for option, owner in OPTIONS.items():
                    self._read_one(("providers", name, option), provider, owner)
                self._read_local(name, provider)
        return self._found

    def _read_local(self, name: str, provider: Mapping[str, Plain]) -> None:
        given = {option: freeze(provider[option]) for option in LOCAL if provider.get(option) is not None}
        if provider.get("type") == "local":
            if isinstance(path := given.get("model_path"), str) and path:
                given["model_path"] = str(self._root / path)
            self._found.values[name] = FrozenDict(given)
            return
        for option in given:
            self._add("unknown_key", f"only type local has `{option}`", ("providers", name, option))

    def _read_one(self, path: tuple[str, str, str], provider: Mapping[str, Plain], owner: str) -> None:
        option = path[-1]
        value = provider.get(option)
        if path in self._tree.failed:
            return
        if provider.get("type") != owner:
            if option in provider:
                self._add("unknown_key", f"only type {owner} has `{option}`", path)
        elif value is None:
            hint = f"Name a file of this folder, or write the {option} here."
            missing = self._tree.problem("missing_key", f"`{option}` is missing", path[:2], at="key", hint=hint)
            self._found.problems.append(missing)
        elif isinstance(value, str):
            self._read_file(path, value)
        else:
            self._check(path, value, None)

    def _read_file(self, path: tuple[str, str, str], file: str) -> None:
        if file not in self._files:
            self._files[file] = self._load(path, file)
        loaded = self._files[file]
        if loaded is not None:
            self._check(path, loaded[1], loaded[0])

    def _load(self, path: KeyPath, file: str) -> tuple[Document, Plain] | None:
        try:
            real = inside(self._root, file)
        except UnreadableError as error:
            hint = "Name a file below the configuration's folder, such as rules/demo.yaml."
            self._add("out_of_range", f"the file is not allowed ({error})", path, hint)
            return None
        self._found.files.append(real)
        if not real.exists():
            self._found.problems.append(self._no_file(path, file))
            return None
        try:
            document = self._parse(str(self._root / file), read_regular(real, MAX_BYTES))
        except UnreadableError as error:
            self._add("not_yaml", f"the file cannot be read ({error})", path, NO_FILE)
            return None
        filler = Filler(document, self._injector)
        root = document.root
        value = filler.branch(root, ()) if isinstance(root, Items | Table) else root
        self._found.documents.append(document)
        self._found.problems += [*document.problems(), *filler.problems]
        return None if document.is_broken or filler.failed else (document, value)

    def _no_file(self, path: KeyPath, file: str) -> Problem:
        # Every *.yaml directly in the folder is configuration, so it is never what was meant.
        below = islice((self._root / file).parent.glob("*"), _LOOKED_AT)
        deeper = islice(self._root.glob("*/*"), _LOOKED_AT)
        names = {
            entry.name: entry.relative_to(self._root).as_posix() for entry in (*deeper, *below) if self._fits(entry)
        }
        near = nearest(Path(file).name, names)
        meant = None if near is None else names[near]
        hint = None if meant else "Give its path from the configuration's folder, such as rules/demo.yaml."
        return self._tree.problem("unknown_name", "there is no such file", path, suggestion=meant, hint=hint)

    def _fits(self, entry: Path) -> bool:
        is_config = entry.parent == self._root and entry.suffix.lower() in CONFIG_SUFFIXES
        return not is_config and not entry.name.startswith(".") and entry.is_file()

    def _check(self, path: tuple[str, str, str], value: Plain, document: Document | None) -> None:
        _, name, option = path
        within: KeyPath = ()
        if document is not None and isinstance(value, Mapping) and option in value and value.keys() <= {option, "end"}:
            value, within = value[option], (option,)
        frozen = freeze(value)
        for below, message in self._checks.get(option, _list_of_mappings)(frozen):
            here = (*path, *below)
            if document is None:
                self._add("out_of_range", message, here)
            else:
                problem = document.problem("out_of_range", message, (*within, *below), shown=here)
                self._found.problems.append(problem)
        self._found.values[name] = FrozenDict({**self._found.values.get(name, {}), option: frozen})

    def _add(self, reason: str, message: str, path: KeyPath, hint: str | None = None) -> None:
        self._found.problems.append(self._tree.problem(reason, message, path, hint=hint))


def _list_of_mappings(value: JSON) -> Iterable[tuple[tuple[str | int, ...], str]]:
    if not isinstance(value, tuple) or not value:
        yield (), "must be a list of at least one mapping"
        return
    for place, entry in enumerate(value):
        if not isinstance(entry, Mapping):
            yield (place,), "must be a mapping"
