"""JSON that a model writes into its text: where a value ends, and what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from loomwire.domain.values import JSON

MOST_CHARACTERS: Final = 1_048_576
"""Of JSON that is read; longer calls are not believed. A value takes some twenty times its text in memory."""

MOST_LEVELS: Final = 64
"""Of nesting."""

_STRUCTURE: Final = re.compile(r'["{}\[\]]')
_IN_TEXT: Final = re.compile(r'["\\]')


class JsonScan:
    """Finds the end of one object or array that comes in pieces. Each character is looked at once."""

    __slots__ = ("_deepest", "_depth", "_escaped", "_in_text")

    def __init__(self) -> None:
        """Stand before the opening bracket."""
        self._depth = 0
        self._deepest = 0
        self._in_text = False
        self._escaped = False

    @property
    def too_deep(self) -> bool:
        """Whether it is nested deeper than anybody means."""
        return self._deepest > MOST_LEVELS

    def take(self, text: str, start: int = 0) -> int | None:
        """Read on from `start`; return the place behind the closing bracket, or None when more must come."""
        at = start
        while at < len(text):
            if self._escaped:
                self._escaped = False
                at += 1
                continue
            found = (_IN_TEXT if self._in_text else _STRUCTURE).search(text, at)
            if found is None:
                return None
            at = found.end()
            if self._closes(found.group()):
                return at
        return None

    def _closes(self, character: str) -> bool:
        if self._in_text:
            self._escaped = character == "\\"
            self._in_text = character != '"'
            return False
        if character == '"':
            self._in_text = True
            return False
        self._depth += 1 if character in "{[" else -1
        self._deepest = max(self._deepest, self._depth)
        return self._depth <= 0


def read_value(text: str) -> JSON:
    """Return what JSON says, lenient where models are.

    Line breaks within texts are allowed; half a surrogate pair, which could never be sent on, becomes U+FFFD.

    Raises:
        ValueError: It is no JSON, too long, too deep, or no Unicode; the text is not part of the error.
    """
    scan = JsonScan()
    if len(text) <= MOST_CHARACTERS:
        scan.take(text)
    if len(text) > MOST_CHARACTERS or scan.too_deep:
        raise ValueError("too long or too deep")
    try:
        value: JSON = json.loads(text, strict=False, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ValueError("no JSON") from None
    return _paired(value) if "\\u" in text else value


def unescaped(text: str) -> str:
    """Return the inside of a JSON text, whose escapes are whole, as what it means."""
    said: str = json.loads(f'"{text}"', strict=False) if "\\" in text else text
    return _paired_text(said) if "\\u" in text else said


def _paired(value: JSON) -> JSON:
    if isinstance(value, str):
        return _paired_text(value)
    if isinstance(value, Mapping):
        return {_paired_text(key): _paired(each) for key, each in value.items()}
    return [_paired(each) for each in value] if isinstance(value, Sequence) else value


def _paired_text(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _refuse(_: str) -> NoReturn:
    raise ValueError("a number that JSON does not have")
