"""Reading JSON that a server or a model wrote, and that may be broken, a bomb, too deep, or no Unicode."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from loomwire.domain.errors import LLMError, llm_error
from loomwire.domain.policies import KIB, MIB, WireLimits
from loomwire.domain.values import JSON

T = TypeVar("T")

LARGE = 256 * KIB
"""Bytes of JSON from which its values are counted before it is decoded: an object of two bytes takes 64 in memory."""

MOST_VALUES = 200_000
"""Commas, brackets and braces outside texts that large JSON may have, whatever its texts hold. The longest answers of
any model, with their calls, have a few hundred; only probabilities of thousands of tokens come near it."""

MOST_REPAIRED = 4 * MIB
"""Bytes of JSON up to which text that is no Unicode is repaired; four times the longest answer of any model."""

SMALL = 1024
"""Bytes of a streamed piece up to which its depth need not be checked, because what is handed on is checked where it
is parsed."""

_DEPTH = WireLimits().json_depth
_BOM = b"\xef\xbb\xbf"
_WINDOW = 256 * KIB
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_AS_BRACES = bytes.maketrans(b"[]", b"{}")
# Half a pair of surrogates alone. Whole pairs never match, and nothing is called for what does.
_LONE = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|[c-fC-F][0-9a-fA-F]{2}(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u.{4}))",
    re.DOTALL,
)
_ANY_JSON: msgspec.json.Decoder[JSON] = msgspec.json.Decoder()


class Outside:
    """Finds what stands outside the texts of JSON that comes in pieces, in one pass of C over each piece."""

    __slots__ = ("_in_text", "_split")

    def __init__(self) -> None:
        """Stand before the first byte."""
        self._in_text = False
        self._split = False

    def feed(self, data: bytes) -> bytes:
        """Return what of the next piece is outside texts, without quotes. Right as far as the JSON is well-formed."""
        if self._split:
            data = b"\\" + data
        bare = data.replace(b"\\\\", b"")
        self._split = bare.endswith(b"\\")
        parts = bare.replace(b'\\"', b"").split(b'"')
        outside = parts[self._in_text :: 2]
        self._in_text ^= len(parts) % 2 == 0
        return b"".join(outside)


def deeper_than(data: bytes, levels: int) -> bool:
    """Tell whether well-formed JSON is nested deeper than allowed. Cheap unless there are more brackets than levels."""
    if data.count(b"[") + data.count(b"{") <= levels:
        return False
    brackets = b"".join(part.translate(_AS_BRACES, _NOT_BRACKETS) for part in _outside(data))
    for _ in range(levels):
        brackets = brackets.replace(b"{}", b"")
        if not brackets:
            return False
    return True


def check_depth(data: bytes, levels: int) -> None:
    """Refuse an answer that is nested deeper than allowed.

    Raises:
        LLMProtocolError: It is; whoever hands its values on could not walk through them.
    """
    if deeper_than(data, levels):
        raise llm_error("protocol", "the answer's JSON is nested deeper than limits.json_depth allows")


def too_many_values(data: bytes) -> bool:
    """Tell whether JSON has more values than `MOST_VALUES` allows; never for less than `LARGE` bytes."""
    if len(data) <= LARGE or _structure(data) <= MOST_VALUES:
        return False
    left = MOST_VALUES
    for part in _outside(data):
        left -= _structure(part)
        if left < 0:
            return True
    return False


def read_json(data: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode JSON from a server; text that is no Unicode (bad UTF-8, lone surrogates) becomes U+FFFD.

    Raises:
        LLMProtocolError: It is no JSON, not of the decoder's shape, or has too many values (too_large). The data is
            neither part of the error nor of its context.
    """
    if len(data) > LARGE and too_many_values(data):
        raise llm_error(
            "too_large",
            f"the server's answer has more than {MOST_VALUES} JSON values",
            hint="Ask for less, such as no probabilities of tokens.",
        )
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError) as error:
        problem = _unreadable(error)
        is_shape = isinstance(error, msgspec.ValidationError)
    if is_shape or len(data) > MOST_REPAIRED:
        raise problem
    try:
        return decoder.decode(_repaired(data))
    except (ValueError, RecursionError) as error:
        problem = _unreadable(error)
    raise problem


def parse_arguments(raw: str, depth: int = _DEPTH) -> dict[str, JSON] | None:
    """Return the JSON object in `raw`; {} for empty text or null, None when it is no object, too deep or a bomb."""
    if not raw.strip():
        return {}
    try:
        data = raw.encode()
        value = False if too_many_values(data) else _ANY_JSON.decode(data)
    except (ValueError, RecursionError):
        return None
    if value is None:
        return {}
    return value if isinstance(value, dict) and not deeper_than(data, depth) else None


def _outside(data: bytes) -> Iterator[bytes]:
    outside = Outside()
    for start in range(0, len(data), _WINDOW):
        yield outside.feed(data[start : start + _WINDOW])


def _structure(data: bytes) -> int:
    return data.count(b",") + data.count(b"{") + data.count(b"[")


def _repaired(data: bytes) -> bytes:
    text = data.removeprefix(_BOM).decode("utf-8", "replace").encode()
    # Escaped backslashes step aside as bytes that no UTF-8 has, so that none of them begins an escape.
    text = _LONE.sub(rb"\\ufffd", text.replace(b"\\\\", b"\xff\xff"))
    return text.replace(b"\xff\xff", b"\\\\")


def _unreadable(error: Exception) -> LLMError:
    why = "is no JSON"
    if isinstance(error, RecursionError):
        why = "is nested too deep"
    elif isinstance(error, msgspec.ValidationError):
        why = f"has an unexpected shape: {error}"  # msgspec names types and places, never values
    return llm_error("protocol", f"the server's answer {why}")
