"""What a script of the provider type `mock` may say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.providers.offline.checks import FIELDS, FLAG, Check, Remark, below, object_problems

_ENTRY: Mapping[str, Check] = {**FIELDS, "repeat": FLAG}
_ONLY_WITH_ERROR: Final = ("message", "retry_after", "status")
_NEVER_WITH_ERROR: Final = ("text", "tool_calls", "reasoning", "signature", "finish", "usage", "cut_after")


def check_script(value: JSON) -> Iterator[Remark]:
    """Yield every problem of a script: the way into the list, and what is wrong there. Nothing means it is playable."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        yield (), "must be a list of at least one entry"
        return
    for index, entry in enumerate(value):
        yield from below(index, object_problems(entry, _ENTRY))
        if isinstance(entry, Mapping):
            yield from below(index, _entry_problems(entry, is_last=index == len(value) - 1))


def _entry_problems(entry: JSONObject, *, is_last: bool) -> Iterator[Remark]:
    if "error" in entry:
        yield from (((key,), "cannot stand beside `error`") for key in _NEVER_WITH_ERROR if key in entry)
    else:
        yield from (((key,), "needs `error` beside it") for key in _ONLY_WITH_ERROR if key in entry)
        if "text" not in entry and "tool_calls" not in entry:
            yield (), "says nothing: give `text`, `tool_calls` or `error`"
    if entry.get("repeat") is True and not is_last:
        yield ("repeat",), "only the last entry can be repeated; what follows would never be played"
