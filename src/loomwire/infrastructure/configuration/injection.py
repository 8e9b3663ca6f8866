"""Puts environment variables and secret files into scalars: `${VAR}`, `${VAR:-default}`, `${file:/run/secrets/key}`.

One pass over text that was already parsed: what comes in is never read as YAML and never expanded again. `$${` stands
for `${`; a `$` alone is a `$`, since prompts are full of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from loomwire.infrastructure.configuration.files import UnreadableError, read_secret
from loomwire.infrastructure.configuration.scalars import CoreScalar, PlainReference, Reference, core_scalar

_REFERENCE: Final = re.compile(r"\$\$\{|\$\{([^{}]*)(\}?)")
_BODY: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:(:-|-|:\?)(.*))?", re.DOTALL)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_LONGEST_MESSAGE = 200
_PLACES: Final[tuple[Literal["environment", ".env"], ...]] = ("environment", ".env")


class InjectionError(Exception):
    """Nothing can be put in; the message holds names, never values.

    Attributes:
        reason: A reason of the fault table.
        hint: What to do, or None for the table's remedy.
    """

    def __init__(self, reason: str, message: str, hint: str | None = None) -> None:
        """Keep what a problem needs."""
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Ingredient:
    """Where something that was put into a value came from; never what it is.

    Attributes:
        place: The environment, the folder's `.env`, a file, the default that the reference itself holds, or nowhere.
        name: The variable, or the path of the file.
    """

    place: Literal["environment", ".env", "file", "default", "unset"]
    name: str


class Injector:
    """Knows every variable, and remembers which were asked for.

    Args:
        variables: The process environment.
        dotenv: The folder's `.env`; weaker than the environment.
        root: The folder, for relative paths of secret files.

    Attributes:
        used: A digest for every variable and secret file that was asked for: they are a part of the configuration.
        files: Every secret file that was asked for, readable or not.
    """

    def __init__(self, variables: Mapping[str, str], dotenv: Mapping[str, str], root: Path) -> None:
        """Ask for nothing yet."""
        self._layers = (variables, dotenv)
        self._root = root
        self.used: dict[str, bytes] = {}
        self.files: set[Path] = set()

    def value(self, text: Reference) -> CoreScalar:
        """Return what a scalar means once everything is put in; without quotes, a lone reference may be a number.

        Raises:
            InjectionError: A variable is unset, a file unreadable, or the reference malformed.
        """
        result = self.text(text)
        match = _REFERENCE.fullmatch(text)
        if not isinstance(text, PlainReference) or match is None or match[1] is None:
            return result
        try:
            return core_scalar(result)
        except ValueError as error:
            raise InjectionError("out_of_range", str(error)) from None

    def text(self, text: str) -> str:
        """Return a text with everything put in.

        Raises:
            InjectionError: As for `value`.
        """
        return _REFERENCE.sub(self._one, text)

    def variable(self, name: str) -> str | None:
        """Return a variable: of the environment, of `.env`, or of the file that `<name>_FILE` names.

        Raises:
            InjectionError: That file is unreadable.
        """
        found = self._plain(name)
        file = None if found is not None else self._plain(f"{name}_FILE")
        if file:
            found = self._file(file, f"the file that {name}_FILE names cannot be read")
        self.used[name] = b"" if found is None else _digest(found)
        if found is not None and not found.isascii() and _SURROGATE.search(found):
            raise InjectionError("out_of_range", f"environment variable {name} is no UTF-8 text")
        return found

    def secret_file(self, path: str, message: str) -> str:
        """Return the text of a secret file; `message` begins the error.

        Raises:
            InjectionError: It is unreadable.
        """
        return self._file(path, message)

    def ingredients(self, text: Reference) -> Iterator[Ingredient]:
        """Yield what goes into a text, in order, without reading a file."""
        for match in _REFERENCE.finditer(text):
            body: str = match[1] or ""
            parts = _BODY.fullmatch(body)
            if _is_file(body):
                yield Ingredient("file", body[5:])
            elif parts is not None:
                yield self._ingredient(parts[1], parts[2])

    def _ingredient(self, name: str, operator: str | None) -> Ingredient:
        counts_when_empty = operator in (None, "-")
        for place, layer in zip(_PLACES, self._layers, strict=True):
            if name in layer:
                found = counts_when_empty or layer[name]
                return Ingredient(place if found else "default", name)
        file = self._plain(f"{name}_FILE")
        if file:
            return Ingredient("file", file)
        return Ingredient("unset" if operator in (None, ":?") else "default", name)

    def _one(self, match: re.Match[str]) -> str:
        body = match[1]
        if body is None:
            return "${"
        if not match[2]:
            raise InjectionError("out_of_range", "`${` has no `}`", "Close it, or write `$${` for a plain `${`.")
        if _is_file(body):
            return self._file(body[5:], "the secret file cannot be read")
        parts = _BODY.fullmatch(body)
        if parts is None:
            hint = "Write ${NAME}, ${NAME:-default}, ${NAME-default}, ${NAME:?message} or ${file:/path}; `$${` is text."
            raise InjectionError("out_of_range", "the reference is malformed", hint)
        return self._expanded(parts[1], parts[2], parts[3])

    def _expanded(self, name: str, operator: str | None, word: str) -> str:
        value = self.variable(name)
        is_missing = value is None if operator in (None, "-") else not value
        if not is_missing and value is not None:
            return value
        if operator in (":-", "-"):
            return word
        said = f": {word[:_LONGEST_MESSAGE]}" if operator == ":?" and word else " is not set"
        raise InjectionError("variable_unset", f"environment variable {name}{said}")

    def _plain(self, name: str) -> str | None:
        return next((layer[name] for layer in self._layers if name in layer), None)

    def _file(self, path: str, message: str) -> str:
        self.files.add(self._root / path)
        try:
            text = read_secret(self._root / path)
        except UnreadableError as error:
            raise InjectionError("secret_unreadable", f"{message} ({error})") from None
        self.used[f"file:{path}"] = _digest(text)
        return text


def _is_file(body: str) -> bool:
    return body.startswith("file:") and body[5:6] not in ("-", "?")


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=32).digest()
