"""One YAML file: what it says, where everything stands, and how a problem in it is shown without showing a secret."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from typing import Final, Literal, TypeAlias

from loomwire.domain.reports.problems import Problem
from loomwire.domain.values import JSON, LONGEST_SHOWN, may_be_shown
from loomwire.infrastructure.configuration.scalars import Flaw, KeyPath, Reference, decode
from loomwire.infrastructure.configuration.schema.secrecy import (
    dotted,
    is_bare_reference,
    is_secret_word,
    line_looks_secret,
)
from loomwire.infrastructure.configuration.yaml_tree import Branch, Items, Marks, Table, Value, read_tree

MAX_BYTES: Final = 4 * 1024 * 1024
"""Of one file."""

Part: TypeAlias = Literal["key", "value"]

_UNQUOTED = "Between { } or [ ], put quotes around ${...}; to have it taken for a number, put it on a line of its own."
# Possessive and never from within a word, so that a long word costs its length and not the square of it.
_ANY_KEY = re.compile(r"""(?<![\w.-])[\w.-]++(?=["']?\s*:)""")
_TOKEN = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s:,\[\]{}]+""")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant; never one that looks like a secret."""
    return next(iter(get_close_matches(name, list(filter(may_be_shown, known)), 1)), None)


@dataclass(frozen=True, slots=True)
class Spot:
    """A stretch of one line.

    Attributes:
        line: The line, from 0.
        column: The column in characters, from 0.
        width: How many characters; 0 for what is not known.
    """

    line: int
    column: int
    width: int = 0


class Document:
    """One YAML file, read; never changed afterwards.

    Args:
        name: The file as the operator named it.
        data: Its content; one byte more than `MAX_BYTES` is enough to have it refused.

    Attributes:
        digest: Identifies the content.
        root: What stands in it; None when it is empty or could not be read.
        flaws: What is wrong with the text itself.
    """

    def __init__(self, name: str, data: bytes) -> None:
        """Read the content."""
        self.name = name
        self.digest = hashlib.blake2b(data, digest_size=32).digest()
        self.root: Value = None
        self._text = ""
        text = decode(data) if len(data) <= MAX_BYTES else Flaw("config_too_large", _too_large(), 0, 0, fatal=True)
        if isinstance(text, Flaw):
            self.flaws = [text]
            self._text = data[:MAX_BYTES].decode(errors="replace")
        else:
            self._text = text
            self.root, self.flaws = read_tree(text)

    @property
    def is_broken(self) -> bool:
        """Whether the file could not be read to its end, so that names may be missing."""
        return any(flaw.fatal for flaw in self.flaws)

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong with the text itself."""
        for flaw in self.flaws:
            line, column = flaw.line, flaw.column
            if line >= len(self._lines):  # the end of a text that breaks off
                line = max(0, len(self._lines) - 1)
                column = len(self._lines[line]) if self._lines else 0
            token = _TOKEN.match(self._lines[line], column) if self._lines else None
            width = len(token[0]) if token else 1
            problem = self._problem(flaw.reason, flaw.message, flaw.path, Spot(line, column, width))
            unquoted = flaw.reason == "not_yaml" and "${" in self._line(line)
            yield replace(problem, hint=_UNQUOTED) if unquoted else problem

    def problem(
        self, reason: str, message: str, path: KeyPath, *, at: Part = "value", shown: KeyPath | None = None
    ) -> Problem:
        """Return a problem with the value at a path, or with its key.

        Args:
            reason: A reason of the fault table.
            message: What is wrong.
            path: From the root of this file; where it ends early, the last key that exists is meant.
            at: What the caret underlines. A collection is too long for it, so its key is taken.
            shown: The path in the message, when it is another one.
        """
        return self._problem(reason, message, path if shown is None else shown, self.spot(path, at=at))

    def spot(self, path: KeyPath, *, at: Part = "value") -> Spot:
        """Return where the value at a path stands, or its key."""
        node: Value = self.root
        found: Marks | None = None
        depth = 0
        for step in path:
            marks = _marks_of(node, step)
            if marks is None:
                break
            found, depth = marks, depth + 1
            node = node.below.get(step) if isinstance(node, Items | Table) else None
        if found is None:
            return Spot(0, 0, 1)
        # A word may stand for a block, as in `balance: ordered`: then the path goes on below it.
        is_scalar_or_item = node is None or (depth == len(path) and isinstance(path[-1], int))
        if at == "value" and is_scalar_or_item:
            return self._stretch(found[2], found[3], found[4], found[5])
        return self._word(found[0], found[1], str(path[depth - 1]))

    def is_injected(self, path: KeyPath) -> bool:
        """Tell whether the value at a path comes from a variable or a file."""
        return self.reference(path) is not None

    def reference(self, path: KeyPath) -> Reference | None:
        """Return the value at a path as it is written, if variables or files go into it."""
        value: JSON = self.root.plain if isinstance(self.root, Items | Table) else self.root
        for step in path:
            if isinstance(value, Mapping) and isinstance(step, str):
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                return None
        return value if isinstance(value, Reference) else None

    def text_at(self, path: KeyPath) -> str:
        """Return a value without quotes as it is written, before it was taken for a number."""
        spot = self.spot(path)
        return self._line(spot.line)[spot.column : spot.column + spot.width].split(" ")[-1]

    def _word(self, line: int, column: int, word: str) -> Spot:
        text = self._line(line)
        token = _TOKEN.match(text, column)
        width = len(word) if text.startswith(word, column) else len(token[0]) if token else 1
        return Spot(line, column, width)

    def _stretch(self, line: int, column: int, end_line: int, end_column: int) -> Spot:
        end = end_column if end_line == line else len(self._line(line).rstrip())
        return Spot(line, column, max(end - column, 1))

    def _problem(self, reason: str, message: str, path: KeyPath, spot: Spot) -> Problem:
        excerpt = self._excerpt(spot)
        return Problem(
            reason,
            message,
            dotted(path),
            file=self.name,
            line=spot.line + 1,
            column=spot.column + 1,
            excerpt=excerpt,
            width=max(1, min(spot.width, len(excerpt) - spot.column)),
        )

    def _excerpt(self, spot: Spot) -> str:
        line = self._line(spot.line)
        if spot.column + spot.width > LONGEST_SHOWN or self._may_hold_secret(spot.line, line):
            return ""
        return line[:LONGEST_SHOWN].replace("\t", " ").rstrip()

    def _may_hold_secret(self, number: int, line: str) -> bool:
        if number in self._hidden or any(text in line for text in self._secrets):
            return True
        # Without a tree nobody knows what a line belongs to, but for its indentation.
        if self.root is None and any(is_secret_word(key) for key in self._keys_above(number)):
            return True
        return line_looks_secret(line[: 2 * LONGEST_SHOWN])

    def _keys_above(self, line: int) -> Iterator[str]:
        """Yield the keys in a line and in those it is indented under, for a file that has no tree."""
        indent = len(self._line(line))
        for number in range(line, -1, -1):
            text = self._line(number)
            depth = len(text) - len(text.lstrip(" -"))
            if text.strip() and (depth < indent or number == line):
                indent = min(indent, depth)
                yield from _ANY_KEY.findall(text)

    @cached_property
    def _lines(self) -> list[str]:
        return self._text.splitlines()

    def _line(self, number: int) -> str:
        return self._lines[number] if number < len(self._lines) else ""

    @cached_property
    def _hidden(self) -> frozenset[int]:
        return frozenset(line for first, last, _ in self._veiled for line in range(first, last + 1))

    @cached_property
    def _secrets(self) -> frozenset[str]:
        return frozenset(text for _, _, text in self._veiled if len(text) >= 6)

    @cached_property
    def _veiled(self) -> list[tuple[int, int, str]]:
        """First line, last line and text of everything that may be a secret."""
        found: list[tuple[int, int, str]] = []
        if isinstance(self.root, Items | Table):
            _veil(self.root, found, set(), secret=False)
        return found


def _too_large() -> str:
    return f"the file is larger than {MAX_BYTES // 1024 // 1024} MiB"


def _marks_of(node: Value, step: str | int) -> Marks | None:
    if isinstance(node, Table) and isinstance(step, str):
        return node.marks.get(step)
    if isinstance(node, Items) and isinstance(step, int) and step < len(node.marks):
        return node.marks[step]
    return None


def _entries(node: Branch) -> Iterable[tuple[str | int, JSON]]:
    return node.plain.items() if isinstance(node, Table) else enumerate(node.plain)


def _veil(node: Branch, found: list[tuple[int, int, str]], seen: set[tuple[int, bool]], *, secret: bool) -> None:
    seen.add((id(node), secret))
    for key, value in _entries(node):
        hides = secret or (isinstance(key, str) and is_secret_word(key))
        branch = node.below.get(key)
        marks = _marks_of(node, key)
        if branch is not None:
            if (id(branch), hides) not in seen:
                _veil(branch, found, seen, secret=hides)
        elif hides and marks is not None and not _is_harmless(value):
            last = marks[4] - (marks[4] > marks[2] and marks[5] == 0)
            found.append((marks[2], last, str(value)))


def _is_harmless(value: JSON) -> bool:
    if isinstance(value, Reference):
        return is_bare_reference(value)
    return value is None or isinstance(value, bool)
