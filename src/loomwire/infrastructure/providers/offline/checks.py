"""Checks of descriptions: what scripts and rules may say of a reply, and what is wrong with the rest."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TypeAlias, get_args

from loomwire.domain.faults import FAULTS
from loomwire.domain.responses import Finish
from loomwire.domain.values import JSON

Remark: TypeAlias = tuple[tuple[str | int, ...], str]
"""What is wrong and where: the way into the value, and a sentence."""

Check: TypeAlias = Callable[[JSON], str | Iterable[Remark] | None]
"""Returns a sentence, remarks on what is inside, or nothing when the value is in order."""

FINISHES: Mapping[str, Finish] = {word: word for word in get_args(Finish)}
_REASONS = [row.reason for row in FAULTS.values() if row.code[:3] not in ("CFG", "WIR", "TOO", "RET", "PLU")]
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


def must(be: str, test: Callable[[JSON], bool]) -> Check:
    """Return a check that says `must be ...` unless the test holds."""
    return lambda value: None if test(value) else f"must be {be}"


def _between(value: JSON, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


TEXT = must("a text", lambda value: isinstance(value, str))
FLAG = must("true or false", lambda value: isinstance(value, bool))
_SECONDS = must("a number of seconds, at least 0", lambda value: _between(value, 0, sys.float_info.max))
_COUNT = must("a whole number, at least 0", lambda value: isinstance(value, int) and _between(value, 0, math.inf))
_STATUS = must("an HTTP status, 100 to 599", lambda value: isinstance(value, int) and _between(value, 100, 599))
_FINISH = must(f"one of {', '.join(FINISHES)}", lambda value: isinstance(value, str) and value in FINISHES)
_ARGUMENTS = must("an object, or the text that comes over the wire", lambda value: isinstance(value, Mapping | str))
_NAME = must(
    "1 to 64 letters, digits, '_' or '-'",
    lambda value: isinstance(value, str) and _TOOL_NAME.fullmatch(value) is not None,
)


def _reason_problem(value: JSON) -> str | None:
    return None if value in _REASONS else f"must be one of {', '.join(_REASONS)}{_near(value, _REASONS)}"


def call_problems(value: JSON) -> Iterator[Remark]:
    """Yield what is wrong with one tool call."""
    yield from object_problems(value, _CALL, needed=("name",))


def calls_problems(value: JSON) -> Iterator[Remark]:
    """Yield what is wrong with a list of tool calls."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        yield (), "must be a list of at least one tool call"
        return
    for index, call in enumerate(value):
        yield from below(index, call_problems(call))


def object_problems(value: JSON, checks: Mapping[str, Check], needed: Iterable[str] = ()) -> Iterator[Remark]:
    """Yield what is wrong with an object: missing and unknown keys, and what the checks say of the others."""
    if not isinstance(value, Mapping):
        yield (), f"must be an object with {', '.join(checks)}"
        return
    for key in needed:
        if key not in value:
            yield (), f"needs `{key}`"
    for key, item in value.items():
        check = checks.get(key)
        said = f"unknown key{_near(key, list(checks))}" if check is None else check(item)
        yield from below(key, [((), said)] if isinstance(said, str) else said or ())


def below(step: str | int, remarks: Iterable[Remark]) -> Iterator[Remark]:
    """Yield the remarks as seen from one step further up."""
    return (((step, *path), said) for path, said in remarks)


def _near(word: JSON, known: Sequence[str]) -> str:
    near = get_close_matches(word, known, 1) if isinstance(word, str) else []
    return f"; did you mean `{near[0]}`?" if near else ""


_CALL: Mapping[str, Check] = {"name": _NAME, "arguments": _ARGUMENTS, "id": TEXT}
_USAGE: Mapping[str, Check] = dict.fromkeys(TOKENS, _COUNT)
FIELDS: Mapping[str, Check] = {
    "reasoning": TEXT,
    "signature": TEXT,
    "text": TEXT,
    "tool_calls": calls_problems,
    "finish": _FINISH,
    "usage": lambda value: object_problems(value, _USAGE),
    "delay_s": _SECONDS,
    "cut_after": _COUNT,
    "error": _reason_problem,
    "message": TEXT,
    "retry_after": _SECONDS,
    "status": _STATUS,
}
"""All that a reply can be described with."""
