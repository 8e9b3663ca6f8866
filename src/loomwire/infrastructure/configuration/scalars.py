"""What a YAML text is made of: readable characters, and scalars by the YAML 1.2 core schema."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from loomwire.domain.values import JSON, FrozenDict, Secret

KeyPath: TypeAlias = tuple[str | int, ...]
"""The keys and places from the root down to a value."""

CoreScalar: TypeAlias = str | int | float | bool | None

Plain: TypeAlias = "Mapping[str, Plain] | Sequence[Plain] | CoreScalar | Secret"
"""What stands in a configuration once everything is put in: JSON, with secrets that cannot be shown."""

TYPED_FIRST: Final = frozenset("~nNtTfF+-.0123456789")
"""What a scalar without quotes begins with if it can be anything but a text; the empty one is null."""

_MAX_DIGITS: Final = 400
_WORDS: Final[dict[str, CoreScalar]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


class Reference(str):
    """A text that holds `${`, kept as it stands until it is injected."""

    __slots__ = ()


class PlainReference(Reference):
    """A `Reference` without quotes: what comes in may turn out a number, true, false or null."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something wrong with a text itself.

    Attributes:
        reason: A reason of the fault table.
        message: What is wrong; holds keys, never values.
        line: The line, from 0.
        column: The column in characters, from 0.
        path: The keys down to it.
        fatal: Nothing after it was read.
    """

    reason: str
    message: str
    line: int
    column: int
    path: KeyPath = ()
    fatal: bool = False


def core_scalar(text: str) -> CoreScalar:
    """Return what a scalar without quotes means: `no` is a text, `010` is 10, `1:30` a text.

    Raises:
        ValueError: An infinity, no number, or a number no program could use; the message has no word of the text.
    """
    if text and text[0] not in TYPED_FIRST:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return _whole(text, 10)
    if _OTHER_BASE.fullmatch(text):
        return _whole(text[2:], 8 if text[1] == "o" else 16)
    if _FLOAT.fullmatch(text):
        return _finite(float(text))
    return _finite(math.inf) if _NO_NUMBER.fullmatch(text) else text


def decode(data: bytes) -> str | Flaw:
    """Return the text of a file, or where it is no readable UTF-8: NUL and other control characters are refused."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        at = end_of(data[: error.start].decode(errors="replace"))
        return Flaw("not_yaml", f"byte 0x{data[error.start]:02x} is no UTF-8", *at, fatal=True)
    text = text.removeprefix("\ufeff")
    bad = _UNPRINTABLE.search(text)
    if bad is None:
        return text
    message = f"control character U+{ord(bad[0]):04X} is not allowed"
    return Flaw("not_yaml", message, *end_of(text[: bad.start()]), fatal=True)


def freeze(value: Plain) -> JSON:
    """Return JSON that nobody can change and that hashes: mappings as `FrozenDict`, lists as tuples."""
    if isinstance(value, Mapping):
        return FrozenDict({key: freeze(item) for key, item in value.items()})
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(freeze(item) for item in value)
    return repr(value) if isinstance(value, Secret) else value


def end_of(text: str) -> tuple[int, int]:
    """Return line and column behind a text, from 0."""
    lines = _BREAK.split(text)
    return len(lines) - 1, len(lines[-1])


def _whole(digits: str, base: int) -> int:
    # Encoders stop at 64 bits, and Python's int() at 4,300 digits.
    number = int(digits, base) if len(digits) <= _MAX_DIGITS else 1 << 64
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError("must be a number within 64 bits; put it in quotes to make it a text")
    return number


def _finite(number: float) -> float:
    if math.isinf(number):
        raise ValueError("must be a number, not infinity or NaN")
    return number
