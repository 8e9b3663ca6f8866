"""What the rules of the provider type `rule` may say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.providers.offline.checks import (
    FIELDS,
    FLAG,
    TEXT,
    Check,
    Remark,
    below,
    call_problems,
    must,
    object_problems,
)
from loomwire.infrastructure.providers.offline.references import references

_ANSWERS: Final = ("answer", "tool_call", "tool_calls", "json", "error")
_FILTERS: Final = ("when", "model", "has_tool", "after_tool")


def _pattern_problem(value: JSON) -> str | None:
    if not isinstance(value, str):
        return "must be a regular expression as text"
    try:
        re.compile(value, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        return f"is no regular expression: {error}"
    return None


_RULE: Mapping[str, Check] = {
    "when": _pattern_problem,
    "model": TEXT,
    "has_tool": TEXT,
    "after_tool": FLAG,
    "default": must("true, or left out", lambda value: value is True),
    "answer": TEXT,
    "tool_call": call_problems,
    "json": must("an object, or the word auto", lambda value: isinstance(value, Mapping) or value == "auto"),
    **{key: FIELDS[key] for key in ("tool_calls", "error", "reasoning", "signature", "delay_s", "finish")},
}


def check_rules(value: JSON) -> Iterator[Remark]:
    """Yield every problem of a list of rules: the way into it, and what is wrong there. Nothing means it works."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        yield (), "must be a list of at least one rule"
        return
    for index, rule in enumerate(value):
        yield from below(index, object_problems(rule, _RULE))
        if isinstance(rule, Mapping):
            yield from below(index, _rule_problems(rule, is_last=index == len(value) - 1))


def _rule_problems(rule: JSONObject, *, is_last: bool) -> Iterator[Remark]:
    answers = [key for key in _ANSWERS if key in rule]
    if not answers:
        yield (), f"has no answer: give one of {', '.join(_ANSWERS)}"
    yield from (((key,), f"is a second answer beside `{answers[0]}`") for key in answers[1:])
    if "error" in rule:
        yield from (
            ((key,), "cannot stand beside `error`") for key in ("reasoning", "signature", "finish") if key in rule
        )
    yield from _place_problems(rule, is_last=is_last)
    yield from _reference_problems(rule)


def _place_problems(rule: JSONObject, *, is_last: bool) -> Iterator[Remark]:
    filters = [key for key in _FILTERS if key in rule]
    if "default" in rule:
        yield from (((key,), "cannot stand beside `default`") for key in filters)
        if not is_last:
            yield ("default",), "must be the last rule; what follows would never be reached"
    elif not filters:
        yield (), f"needs one of {', '.join(_FILTERS)}, or `default: true`"


def _reference_problems(rule: JSONObject) -> Iterator[Remark]:
    when = rule.get("when", "")
    if not isinstance(when, str) or _pattern_problem(when):
        return
    groups = re.compile(when).groups
    for key in ("answer", "reasoning", "tool_call", "tool_calls", "json"):
        most = max((int(digit) for digit in references(rule.get(key))), default=0)
        if most > groups:
            yield (key,), f"uses \\{most}, but `when` has {groups or 'no'} groups"
