"""Reading JSON that a server or a model wrote, and that may be broken, too deep, or no Unicode."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from loomwire.domain.errors import LLMError, llm_error
from loomwire.domain.policies import WireLimits
from loomwire.domain.values import JSON

T = TypeVar("T")

_DEPTH = WireLimits().json_depth
_BOM = b"\xef\xbb\xbf"
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_AS_BRACES = bytes.maketrans(b"[]", b"{}")
# A pair of surrogates, a lone one (group 1), or any other escape, so that an escaped backslash hides nothing.
_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_ANY_JSON: msgspec.json.Decoder[JSON] = msgspec.json.Decoder()


def deeper_than(data: bytes, levels: int) -> bool:
    """Tell whether well-formed JSON is nested deeper than allowed. Cheap unless there are more brackets than levels."""
    if data.count(b"[") + data.count(b"{") <= levels:
        return False
    brackets = _STRINGS.sub(b"", data).translate(_AS_BRACES, _NOT_BRACKETS)
    for _ in range(levels):
        brackets = brackets.replace(b"{}", b"")
        if not brackets:
            return False
    return True


def read_json(data: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode JSON from a server; text that is no Unicode (bad UTF-8, lone surrogates) becomes U+FFFD.

    Raises:
        LLMProtocolError: It is no JSON, or not of the decoder's shape. The data is not part of the error.
    """
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError) as error:
        if isinstance(error, msgspec.ValidationError):
            raise _unreadable(error) from None
    text = data.removeprefix(_BOM).decode("utf-8", "replace").encode()
    try:
        return decoder.decode(_ESCAPES.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], text))
    except (ValueError, RecursionError) as error:
        raise _unreadable(error) from None


def parse_arguments(raw: str, depth: int = _DEPTH) -> dict[str, JSON] | None:
    """Return the JSON object in `raw`; {} for empty text or null, None when it is no JSON object or nested too deep."""
    if not raw.strip():
        return {}
    try:
        data = raw.encode()
        value = _ANY_JSON.decode(data)
    except (ValueError, RecursionError):
        return None
    if value is None:
        return {}
    return value if isinstance(value, dict) and not deeper_than(data, depth) else None


def _unreadable(error: Exception) -> LLMError:
    why = "is no JSON"
    if isinstance(error, RecursionError):
        why = "is nested too deep"
    elif isinstance(error, msgspec.ValidationError):
        why = f"has an unexpected shape: {error}"  # msgspec names types and places, never values
    return llm_error("protocol", f"the server's answer {why}")
