"""Tool calls as models write them into text: which JSON is one, and what it calls."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from loomwire.application.emulation.scanning import JsonScan, read_value
from loomwire.domain.values import JSON, JSONObject

NAME_KEYS: Final = ("name", "tool", "function", "tool_name")
ARGUMENT_KEYS: Final = ("arguments", "parameters", "args", "input")
EXTRA_KEYS: Final = ("id", "type", "tool_calls")
UNREADABLE: Final = "the model began a tool call that cannot be read"
UNKNOWN: Final = "the model called a tool that it was not given"

_FURTHER: Final = frozenset({"id", "type"})
_LISTED: Final = re.compile(r'\s*\{\s*"tool_calls"')
_CUT_NAME: Final = re.compile(r'"(?:name|tool|function|tool_name)"\s*:\s*"([a-zA-Z0-9_-]{1,64})"')
_CUT_ARGUMENTS: Final = re.compile(r'"(?:arguments|parameters|args|input)"\s*:\s*')


@dataclass(frozen=True, slots=True)
class Found:
    """A call that a model wrote.

    Attributes:
        name: The tool.
        arguments: What it is called with; None when that is no object, or was cut.
        raw: The model's text when `arguments` is None.
    """

    name: str
    arguments: JSONObject | None
    raw: str = ""


class BadCallError(ValueError):
    """A call that must not be run; the message says why and quotes nothing."""


def calls_in(value: JSON) -> tuple[Found, ...]:
    """Return the calls that a value is: one, a list of them, or an object with such a list.

    Raises:
        BadCallError: It is none.
    """
    if isinstance(value, Mapping) and set(value) == {"tool_calls"}:
        value = value["tool_calls"]
    entries = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    found = tuple(map(_call, entries))
    if not found:
        raise BadCallError(UNREADABLE)
    return found


def known(found: Sequence[Found], names: Collection[str]) -> tuple[Found, ...]:
    """Return the calls if all of them call tools of these names.

    Raises:
        BadCallError: One does not.
    """
    if any(call.name not in names for call in found):
        raise BadCallError(UNKNOWN)
    return tuple(found)


def cut_calls(text: str) -> Iterator[Found]:
    """Yield the calls of JSON that breaks off, the last without arguments; text before its name gives none.

    Raises:
        BadCallError: A whole call in it cannot be read.
    """
    listed = _LISTED.match(text)
    at = text.find("{", listed.end() if listed else 0)
    while at >= 0:
        end = JsonScan().take(text, at)
        if end is None:
            yield from _broken_off(text[at:])
            return
        yield from _whole(text[at:end])
        at = text.find("{", end)


def _whole(text: str) -> tuple[Found, ...]:
    try:
        return calls_in(read_value(text))
    except ValueError:
        raise BadCallError(UNREADABLE) from None


def _broken_off(text: str) -> Iterator[Found]:
    name = _CUT_NAME.search(text)
    if name is not None:
        arguments = _CUT_ARGUMENTS.search(text, name.end())
        yield Found(name[1], None, text[arguments.end() :] if arguments else "")


def _call(value: JSON) -> Found:
    if not isinstance(value, Mapping):
        raise BadCallError(UNREADABLE)
    inner = value.get("function")
    if isinstance(inner, Mapping) and set(value) - _FURTHER == {"function"}:
        value = inner
    named = [key for key in NAME_KEYS if key in value]
    given = [key for key in ARGUMENT_KEYS if key in value]
    if len(named) != 1 or len(given) != 1 or set(value) - _FURTHER != {*named, *given}:
        raise BadCallError(UNREADABLE)
    name, arguments = value[named[0]], value[given[0]]
    if not isinstance(name, str):
        raise BadCallError(UNREADABLE)
    return _with_arguments(name, arguments)


def _with_arguments(name: str, arguments: JSON) -> Found:
    raw = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    if isinstance(arguments, str):
        # Many models give them as a text, as OpenAI's wire does.
        try:
            arguments = read_value(arguments) if arguments.strip() else {}
        except ValueError:
            return Found(name, None, raw)
    if arguments is None:
        arguments = {}
    return Found(name, arguments) if isinstance(arguments, Mapping) else Found(name, None, raw)
