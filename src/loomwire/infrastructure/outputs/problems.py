"""Says what is wrong with an answer: where and what, without the answer's values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, get_args

from pydantic_core.core_schema import ErrorType

from loomwire.domain.values import JSON, JSONObject

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

MAX_PROBLEMS = 20
_MAX_LEAVES = 10_000

_OWN_WORDS = frozenset({"value_error", "assertion_error"})
_KNOWN = frozenset(get_args(ErrorType)) - _OWN_WORDS
_GENERAL = "does not pass the type's own validator"

# Messages that quote the answer, and what is said instead.
_REPLACED: Mapping[str, str] = {
    "union_tag_invalid": "Input tag does not match any of the expected tags",
    "uuid_parsing": "Input should be a valid UUID",
    "import_error": "Input should be a valid Python import",
}

_SCALARS = frozenset({"bool", "bytes", "date", "datetime", "decimal", "float", "int", "none", "str", "time", "uuid"})


class Names:
    """The words of a schema that a path may say: property names, and the names of alternatives."""

    def __init__(self, schema: JSONObject) -> None:
        """Collect the words once, when the schema is made."""
        properties: set[str] = set()
        alternatives: set[str] = set(_SCALARS)
        for part in _parts(schema):
            properties.update(_keys(part.get("properties")))
            alternatives.update(_keys(part.get("$defs")))
            alternatives.update(word for word in (part.get("const"), part.get("title")) if isinstance(word, str))
        self.properties = frozenset(properties)
        self.alternatives = frozenset(alternatives)

    def path(self, location: Sequence[str | int], root: str) -> str:
        """Return `$.items[0].total`; a key that the schema does not name is `*`, since it is part of the answer."""
        path, alternatives = root, ""
        for step in location:
            if isinstance(step, int):
                path += f"[{step}]"
            elif step in self.properties:
                path += f".{step}"
            elif step in self.alternatives:
                alternatives += f" (as {step})"
            elif "[" not in step:
                # A bracket marks pydantic's own name for an alternative, such as `list[int]` or `function-after[...]`.
                path += ".*"
        return path + alternatives


def problems_of(error: ValidationError, names: Names, root: str = "$") -> list[str]:
    """Return what pydantic found as `path: what`, at most `MAX_PROBLEMS` and a word about the rest.

    A message of the type's own validators is passed on, because the model needs it to do better, unless it quotes the
    value it refused.
    """
    found = error.errors(include_url=False, include_context=False)
    lines = [f"{names.path(one['loc'], root)}: {_message(one)}" for one in found[:MAX_PROBLEMS]]
    more = len(found) - len(lines)
    return [*lines, f"and {more} more"] if more else lines


def _message(found: ErrorDetails) -> str:
    kind, message = found["type"], " ".join(found["msg"].split())
    if kind in _KNOWN:
        return _REPLACED.get(kind, message)
    return _GENERAL if _quotes(message, found["input"]) else message


def _quotes(message: str, value: object) -> bool:
    said = message.casefold()
    words = set(re.findall(r"\w+", said))
    for count, leaf in enumerate(_leaves(value)):
        text = str(leaf).casefold()
        if count >= _MAX_LEAVES or text in words or (len(text) > 1 and not text.isalnum() and text in said):
            return True
    return False


def _leaves(value: object) -> Iterator[object]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            waiting += one.values()
        elif isinstance(one, Sequence) and not isinstance(one, str):
            waiting += one
        elif one is not None and not isinstance(one, bool):
            yield one


def _parts(schema: JSON) -> Iterator[JSONObject]:
    if isinstance(schema, Mapping):
        yield schema
        for child in schema.values():
            yield from _parts(child)
    elif isinstance(schema, Sequence) and not isinstance(schema, str):
        for child in schema:
            yield from _parts(child)


def _keys(value: JSON | None) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from value
