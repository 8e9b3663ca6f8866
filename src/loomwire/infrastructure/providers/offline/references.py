r"""References to a pattern's groups in answers: `\0` to `\9`, and `\\1` for the text `\1`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from loomwire.domain.values import JSON, ToolCall

_REFERENCE = re.compile(r"\\(\\?)([0-9])")


def references(value: JSON) -> Iterator[str]:
    """Yield the digits of all references in a value."""
    if isinstance(value, str):
        yield from (found[2] for found in _REFERENCE.finditer(value) if not found[1])
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from references(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from references(item)


def filled(value: JSON, match: re.Match[str]) -> JSON:
    """Return a value with the references in its texts filled in; keys stay as they are."""
    if isinstance(value, str):
        return filled_text(value, match)
    if isinstance(value, Mapping):
        return {key: filled(item, match) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [filled(item, match) for item in value]
    return value


def filled_text(text: str, match: re.Match[str]) -> str:
    """Return a text with its references filled in; a group that took no part is empty."""
    # Not Match.expand: that reads \n, \g<> and octal escapes too, and fails on every other backslash.
    return _REFERENCE.sub(lambda found: found[0][1:] if found[1] else match[int(found[2])] or "", text)


def filled_call(call: ToolCall, match: re.Match[str]) -> ToolCall:
    """Return a tool call with the references in its arguments filled in."""
    if call.arguments is None:
        return replace(call, raw_arguments=filled_text(call.raw_arguments, match))
    return replace(call, arguments={key: filled(item, match) for key, item in call.arguments.items()})
