"""Several documents as one configuration: merged, filled from the environment, and each value knows where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Literal, TypedDict

from typing_extensions import Unpack

from loomwire.domain.reports.problems import Problem
from loomwire.domain.values import Secret
from loomwire.infrastructure.configuration.documents import Document, Part
from loomwire.infrastructure.configuration.injection import InjectionError, Injector
from loomwire.infrastructure.configuration.scalars import KeyPath, Plain, Reference
from loomwire.infrastructure.configuration.schema.secrecy import REDIS, dotted, is_sealed
from loomwire.infrastructure.configuration.schema.settings import known_keys
from loomwire.infrastructure.configuration.yaml_tree import Branch, Items, Table

_SECTIONS = frozenset(known_keys(())) - {"version"}
"""What may be left empty: `clients:` with nothing below it, as in a file whose clients are commented out."""


class ProblemDetails(TypedDict, total=False):
    """What a problem can say besides its reason and message.

    Attributes:
        at: What the caret underlines.
        shown: The path in the message, when it is another one.
        suggestion: What was probably meant.
        hint: What to do.
        severity: Warnings do not keep a configuration from coming into force.
    """

    at: Part
    shown: KeyPath
    suggestion: str | None
    hint: str | None
    severity: Literal["error", "warning"]


class Filler:
    """Puts variables and secret files into one document.

    Args:
        document: Where the values come from.
        injector: Knows the variables.

    Attributes:
        problems: What could not be put in.
        failed: Where.
    """

    def __init__(self, document: Document, injector: Injector) -> None:
        """Begin with nothing filled."""
        self.problems: list[Problem] = []
        self.failed: set[KeyPath] = set()
        self._document = document
        self._injector = injector
        # What several aliases share is filled once, and stays shared.
        self._done: dict[int, Plain] = {}

    def branch(self, node: Branch, path: KeyPath) -> Plain:
        """Return a collection with everything put in; the very same one when there is nothing to put in."""
        if not node.dirty:
            return node.plain
        if id(node) not in self._done:
            if isinstance(node, Table):
                self._done[id(node)] = {key: self.value(node, key, path) for key in node.plain}
            else:
                self._done[id(node)] = [self.value(node, place, path) for place in range(len(node.plain))]
        return self._done[id(node)]

    def value(self, node: Branch, key: str | int, path: KeyPath) -> Plain:
        """Return one value of a collection that stands at `path`."""
        below = node.below.get(key)
        if below is not None:
            return self.branch(below, (*path, key))
        value = _raw(node, key)
        return self._injected(value, (*path, key)) if isinstance(value, Reference) else value

    def sealing(self, node: Table, path: KeyPath) -> Plain:
        """Return a provider or server: keys, headers, addresses become secrets, texts whatever they look like."""
        return {
            key: self._sealed(node, key, path) if is_sealed((*path, key)) else self.value(node, key, path)
            for key in node.plain
        }

    def _sealed(self, node: Branch, key: str | int, path: KeyPath) -> Plain:
        here = (*path, key)
        below = node.below.get(key)
        if isinstance(below, Items):
            return [self._sealed(below, place, here) for place in range(len(below.plain))]
        if isinstance(below, Table):
            return {name: self._sealed(below, name, here) for name in below.plain}
        text = self._written(node, key, here)
        if not isinstance(text, str) or here in self.failed:
            return text
        try:
            return Secret(text)
        except ValueError:
            hint = "Put a value in, or remove the key."
            self._fail(here, "out_of_range", "must be printable text and not empty", hint)
            return None

    def _written(self, node: Branch, key: str | int, path: KeyPath) -> Plain:
        """Return a scalar as the text that was written: a key of digits is no number."""
        value = _raw(node, key)
        if isinstance(value, Reference):
            return self._injected(Reference(value), path)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "" if value is None else value
        written = self._document.text_at(path)
        return str(value) if written.startswith("*") else written

    def _injected(self, value: Reference, path: KeyPath) -> Plain:
        try:
            return self._injector.value(value)
        except InjectionError as error:
            self._fail(path, error.reason, error.message, error.hint)
            return None

    def _fail(self, path: KeyPath, reason: str, message: str, hint: str | None) -> None:
        self.failed.add(path)
        self.problems.append(replace(self._document.problem(reason, message, path), hint=hint))


class ConfigTree:
    """The documents of one configuration, merged: sections name by name, everything else once.

    Args:
        documents: In the order in which they are merged.
        injector: Knows the variables.

    Attributes:
        values: What they say together.
        problems: What is wrong with the texts, and with putting them together.
        failed: Paths whose value could not be had; a second problem with them would only confuse.
        is_broken: A document could not be read to its end, so names may be missing.
        origins: Paths that a variable overrides, with its name.
    """

    def __init__(self, documents: Iterable[Document], injector: Injector) -> None:
        """Merge and fill."""
        self.values: dict[str, Plain] = {}
        self.problems: list[Problem] = []
        self.failed: set[KeyPath] = set()
        self.is_broken = False
        self.origins: Mapping[KeyPath, str] = {}
        self._owners: dict[KeyPath, Document] = {}
        self._first: Document | None = None
        for document in documents:
            self._first = self._first or document
            self.is_broken |= document.is_broken
            self.problems += document.problems()
            self.failed |= {flaw.path for flaw in document.flaws if not flaw.fatal}
            filler = Filler(document, injector)
            self._take(document, filler)
            self.problems += filler.problems
            self.failed |= filler.failed

    def problem(self, reason: str, message: str, path: KeyPath, **details: Unpack[ProblemDetails]) -> Problem:
        """Return a problem with what stands at a path, or with the variable that overrides it."""
        shown = details.get("shown", path)
        origin = next((self.origins[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self.origins), None)
        document = self._document(path)
        if origin is not None:
            problem = Problem(reason, f"environment variable {origin}: {message}", dotted(shown))
        elif document is None:
            problem = Problem(reason, message, dotted(shown))
        else:
            problem = document.problem(reason, message, path, at=details.get("at", "value"), shown=shown)
        return replace(
            problem,
            suggestion=details.get("suggestion"),
            hint=details.get("hint"),
            severity=details.get("severity", "error"),
        )

    def place(self, path: KeyPath) -> tuple[str, int, int] | None:
        """Return file, line and column, from 1, of the value at a path; where it ends early, of the last key there is.

        None when there is no document at all.
        """
        document = self._document(path)
        if document is None:
            return None
        spot = document.spot(path)
        return document.name, spot.line + 1, spot.column + 1

    def reference(self, path: KeyPath) -> Reference | None:
        """Return the value at a path as it is written, if variables or files go into it."""
        document = self._document(path)
        return None if document is None else document.reference(path)

    def is_injected(self, path: KeyPath) -> bool:
        """Tell whether the value at a path comes from a variable or a file, so that no message may repeat it."""
        document = self._owners.get(path[:2])
        return path in self.origins or (document is not None and document.is_injected(path))

    def _document(self, path: KeyPath) -> Document | None:
        return self._owners.get(path[:2]) or self._owners.get(path[:1]) or self._first

    def _take(self, document: Document, filler: Filler) -> None:
        root = document.root
        if isinstance(root, Table):
            for key in root.plain:
                self._take_section(document, filler, root, key)
        elif root is not None:
            message = "a configuration file must hold keys such as `clients:`"
            self.problems.append(document.problem("wrong_type", message, ()))

    def _take_section(self, document: Document, filler: Filler, root: Table, key: str) -> None:
        below = root.below.get(key)
        merged = self.values.get(key)
        if isinstance(below, Table) and isinstance(merged, dict | None):
            self.values[key] = {} if merged is None else merged
            self._owners.setdefault((key,), document)
            for name in below.plain:
                self._take_name(document, filler, below, (key, name))
        elif key in self.values:
            self._twice(document, (key,), unless=below is None and merged == root.plain[key])
        elif root.plain[key] is not None or key not in _SECTIONS:
            self.values[key] = filler.value(root, key, ())
            self._owners[key,] = document

    def _take_name(self, document: Document, filler: Filler, node: Table, path: tuple[str, str]) -> None:
        key, name = path
        section = self.values[key]
        if not isinstance(section, dict):
            return
        if name in section:
            self._twice(document, path)
            return
        self._owners[path] = document
        below = node.below.get(name)
        if (key == "providers" or path == REDIS) and isinstance(below, Table):
            section[name] = filler.sealing(below, path)
        else:
            section[name] = filler.value(node, name, (key,))

    def _twice(self, document: Document, path: KeyPath, *, unless: bool = False) -> None:
        if unless:
            return
        first = (self._owners.get(path) or document).problem("defined_twice", "", path, at="key")
        message = f"`{path[-1]}` is already defined at {first.place}"
        self.problems.append(document.problem("defined_twice", message, path, at="key"))


def _raw(node: Branch, key: str | int) -> Plain:
    if isinstance(node, Table):
        return node.plain.get(str(key))
    return node.plain[key] if isinstance(key, int) else None
