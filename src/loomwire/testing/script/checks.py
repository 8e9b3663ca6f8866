"""What the script of a fake provider may say, and what is wrong with the rest."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Final, TypeAlias, TypeGuard

from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.providers.offline.checks import FIELDS, FLAG, TEXT, Check, Remark, below, must
from loomwire.infrastructure.providers.offline.checks import object_problems as problems_of
from loomwire.testing.certificates import TLS_FAULTS
from loomwire.testing.faults.kinds import FaultType
from loomwire.testing.faults.table import FAULTS
from loomwire.testing.speaking import REFUSALS

Ranges: TypeAlias = tuple[tuple[int, float], ...]
"""First and last number of each stretch; the last may be infinite."""

CONDITIONS: Final = ("path", "model", "stream", "requests", "every", "chance")

_RANGE: Final = re.compile(r"(\d{1,9})(?:(-)(\d{1,9})?)?")
_STATUSES: Final = range(100, 1000)
_SPOKEN: Final = ("text", "tool_calls", "reasoning", "signature", "finish", "usage", "cut_after")
_PLAYS: Final = "give `text`, `tool_calls`, `error`, `status` or `fault`"


def ranges(value: JSON) -> Ranges | None:
    """Return request numbers such as 3, "1-3,7" or "5-", or None when the value means none."""
    found: list[tuple[int, float]] = []
    for part in str(value).replace(" ", "").split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            return None
        first = int(match[1])
        last = int(match[3]) if match[3] else math.inf if match[2] else first
        if not 1 <= first <= last:
            return None
        found.append((first, last))
    return tuple(found)


def names_of(value: JSON) -> tuple[str, ...]:
    """Return a name, or a list of names, as names."""
    if isinstance(value, str):
        return (value,)
    return tuple(name for name in value if isinstance(name, str)) if isinstance(value, Sequence) else ()


def script_problems(value: JSON) -> Iterator[Remark]:
    """Yield every problem of a script: the way into it, and what is wrong there. Nothing means it can be played."""
    if value is not None:
        yield from problems_of(value, _SCRIPT)


def _whole(value: JSON) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: JSON) -> TypeGuard[int | float]:
    # A whole number may be too large for what a float can hold, and so for every use of it.
    is_huge = isinstance(value, int) and abs(value) > sys.float_info.max
    return isinstance(value, int | float) and not isinstance(value, bool) and not is_huge


def _texts(value: JSON) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and bool(value)
        and len(names_of(value)) == len(value)
    )


def _near(word: JSON, known: Iterable[str]) -> str:
    near = get_close_matches(word, list(known), 1) if isinstance(word, str) else []
    return f"; did you mean `{near[0]}`?" if near else ""


def _tls_problem(value: JSON) -> str | None:
    if isinstance(value, bool) or (isinstance(value, str) and value in TLS_FAULTS):
        return None
    return f"must be true, false, {', '.join(TLS_FAULTS)}{_near(value, TLS_FAULTS)}"


def _error_problem(value: JSON) -> str | None:
    return None if value in REFUSALS else f"must be one of {', '.join(REFUSALS)}{_near(value, REFUSALS)}"


def _fault_problems(value: JSON) -> Iterator[Remark]:
    is_one = value is None or isinstance(value, str)
    names = [value] if is_one else value
    if not isinstance(names, Sequence) or not names:
        yield (), "must be the name of a fault, or a list of such names"
        return
    for place, name in enumerate(names):
        said = _name_problem(name)
        if said is not None:
            yield () if is_one else (place,), said


def _name_problem(name: JSON) -> str | None:
    if name is None:
        return "is empty; in YAML the word null needs quotes"
    row = FAULTS.get(name) if isinstance(name, str) else None
    if row is None:
        return f"is no fault{_near(name, FAULTS) or '; see `loomwire mock faults`'}"
    return None if row.play is not None else f"{row.name} cannot be played on an answer; {row.setup}"


def _list_problems(value: JSON, fields: Mapping[str, Check], *, is_rule: bool) -> Iterator[Remark]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        yield (), "must be a list of at least one entry"
        return
    for place, entry in enumerate(value):
        yield from below(place, problems_of(entry, fields))
        if isinstance(entry, Mapping):
            yield from below(place, _entry_problems(entry))
            if is_rule and place < len(value) - 1 and not any(key in entry for key in CONDITIONS):
                yield (place,), "has no condition, so that the rules below it are never asked; move it to the end"


def _entry_problems(entry: JSONObject) -> Iterator[Remark]:
    if "fault" in entry:
        yield from _never(entry, "fault", ("error", "message", "cut_after"))
        rows = [FAULTS[name] for name in names_of(entry["fault"]) if name in FAULTS]
        yield from _fault_settings(entry, rows)
        return
    status = entry.get("status")
    if _whole(status) and status in _STATUSES and not 300 <= status <= 599:
        yield ("status",), "is no error, 300 to 599; `fault: status` beside it plays any"
    beside = next((key for key in ("error", "status") if key in entry), None)
    if beside is None:
        yield from _speech_problems(entry)
    else:
        yield from _never(entry, beside, _SPOKEN)


def _speech_problems(entry: JSONObject) -> Iterator[Remark]:
    yield from (((key,), "needs `error` or `status` beside it") for key in ("message", "retry_after") if key in entry)
    if "text" not in entry and "tool_calls" not in entry:
        yield (), f"says nothing; {_PLAYS}"


def _never(entry: JSONObject, beside: str, keys: Iterable[str]) -> Iterator[Remark]:
    return (((key,), f"cannot stand beside `{beside}`; remove one of the two") for key in keys if key in entry)


def _fault_settings(entry: JSONObject, rows: Sequence[FaultType]) -> Iterator[Remark]:
    if "status" in entry and not all(row.takes_status for row in rows):
        yield ("status",), "only faults that take a status can have one; remove it"
    if "retry_after" in entry and {row.name for row in rows} != {"status"}:
        yield ("retry_after",), "needs `error`, `status` or `fault: status` beside it"
    if rows and not _can_happen(rows, entry.get("stream")):
        yield ("fault",), "never happens to such answers; change `stream`"


def _can_happen(rows: Iterable[FaultType], stream: JSON) -> bool:
    return not isinstance(stream, bool) or any(row.spoils(stream=stream) for row in rows)


_ENTRY: Final[Mapping[str, Check]] = {
    **FIELDS,
    "error": _error_problem,
    "fault": _fault_problems,
    "retry_after": must("seconds, or any text for the header", lambda value: _number(value) or isinstance(value, str)),
    "status": must("an HTTP status, 100 to 999", lambda value: _whole(value) and value in _STATUSES),
}
_RULE: Final[Mapping[str, Check]] = {
    "path": TEXT,
    "model": TEXT,
    "stream": FLAG,
    "requests": must('request numbers such as 3, "1-3,7" or "5-"', lambda value: ranges(value) is not None),
    "every": must("a whole number, at least 1", lambda value: _whole(value) and value >= 1),
    "chance": must("a number, 0 to 1", lambda value: _number(value) and 0 <= value <= 1),
    **_ENTRY,
}
_SECONDS: Final = must("a number of seconds, at least 0", lambda value: _number(value) and 0 <= value < math.inf)
_PACE: Final[Mapping[str, Check]] = {
    "first_token_s": _SECONDS,
    "tokens_per_s": must("a number above 0", lambda value: _number(value) and value > 0),
    "jitter": must("a number, 0 to 1", lambda value: _number(value) and 0 <= value <= 1),
}
_SCRIPT: Final[Mapping[str, Check]] = {
    "version": must("1", lambda value: _whole(value) and value == 1),
    "seed": must("a whole number", _whole),
    "pace": lambda value: problems_of(value, _PACE),
    "tls": _tls_problem,
    "models": must("a list of at least one model's name", _texts),
    "api_key": must("a text", lambda value: isinstance(value, str) and bool(value)),
    "replies": lambda value: _list_problems(value, _ENTRY, is_rule=False),
    "rules": lambda value: _list_problems(value, _RULE, is_rule=True),
}
