"""Whether a value fits a JSON Schema, for tools whose schema comes from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeAlias, TypeGuard

from loomwire.domain.values import JSON, JSONObject

MAX_PROBLEMS: Final = 20
_MAX_DEPTH = 64
_NOTHING: JSON = None


class SchemaCheck:
    """Says what of a value does not fit a schema, and where, without a word of the value.

    Knows the keywords of draft 2020-12 for types, values, objects, arrays, alternatives and references inside the
    schema; `format`, `if`, `unevaluated...`, `contains`, `uniqueItems` and references elsewhere are left to the tool.
    Immutable, safe to share.

    Args:
        schema: A JSON Schema.

    Example:
        >>> SchemaCheck({"type": "object", "properties": {"n": {"type": "integer"}}}).problems({"n": "7"})
        ['$.n: must be of type integer']
    """

    __slots__ = ("_schema",)

    def __init__(self, schema: JSONObject) -> None:
        """Keep the schema."""
        self._schema = schema

    def problems(self, value: JSON) -> list[str]:
        """Return what does not fit, each as `where: what`, at most `MAX_PROBLEMS`; an empty list when all fits."""
        found = []
        for problem in self._at(self._schema, value, "$", 0):
            found.append(problem)
            if len(found) == MAX_PROBLEMS:
                break
        return found

    def _at(self, schema: JSON, value: JSON, where: str, depth: int) -> Iterator[str]:
        if depth > _MAX_DEPTH:
            yield f"{where}: nested too deeply"
        elif schema is False:
            yield f"{where}: is not allowed"
        elif isinstance(schema, Mapping):
            for keyword, check in _CHECKS.items():
                if keyword in schema and (wrong := check(value, schema[keyword])):
                    yield f"{where}: {wrong}"
            yield from self._inside(schema, value, where, depth + 1)
            yield from self._combined(schema, value, where, depth + 1)
            yield from self._alternatives(schema, value, where, depth + 1)

    def _inside(self, schema: JSONObject, value: JSON, where: str, depth: int) -> Iterator[str]:
        if isinstance(value, Mapping):
            yield from self._members(schema, value, where, depth)
        elif _is_list(value):
            first = schema.get("prefixItems")
            prefix = first if _is_list(first) else ()
            for index, item in enumerate(value):
                rule = prefix[index] if index < len(prefix) else schema.get("items")
                yield from self._at(rule, item, f"{where}[{index}]", depth)

    def _members(self, schema: JSONObject, value: JSONObject, where: str, depth: int) -> Iterator[str]:
        named, others = _object(schema.get("properties")), schema.get("additionalProperties")
        patterns = _object(schema.get("patternProperties"))
        for key, item in value.items():
            rules = [rule for pattern, rule in patterns.items() if _matches(pattern, key)]
            if key in named:
                yield from self._at(named[key], item, f"{where}.{key}", depth)
            elif not rules:
                # The key is a word of the model's, which may be anything.
                yield from self._at(others, item, f"{where}.*", depth)
            for rule in rules:
                yield from self._at(rule, item, f"{where}.*", depth)

    def _combined(self, schema: JSONObject, value: JSON, where: str, depth: int) -> Iterator[str]:
        if isinstance(name := schema.get("$ref"), str) and name.startswith("#"):
            yield from self._at(self._referred(name), value, where, depth)
        for rule in _list(schema.get("allOf")):
            yield from self._at(rule, value, where, depth)

    def _alternatives(self, schema: JSONObject, value: JSON, where: str, depth: int) -> Iterator[str]:
        for keyword, fits in (("anyOf", _at_least_one), ("oneOf", _exactly_one)):
            if keyword in schema and not fits(self._fitting(_list(schema[keyword]), value, depth)):
                yield f"{where}: must fit {'one' if keyword == 'oneOf' else 'at least one'} of the alternatives"
        if "not" in schema and self._fitting([schema["not"]], value, depth):
            yield f"{where}: must not be like this"

    def _fitting(self, rules: Sequence[JSON], value: JSON, depth: int) -> int:
        return sum(next(self._at(rule, value, "$", depth), None) is None for rule in rules)

    def _referred(self, name: str) -> JSON:
        found: JSON = self._schema
        for part in name[1:].split("/")[1:]:
            word = part.replace("~1", "/").replace("~0", "~")
            found = found.get(word) if isinstance(found, Mapping) else _NOTHING
        return found


def _is_list(value: JSON) -> TypeGuard[Sequence[JSON]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _list(value: JSON) -> Sequence[JSON]:
    return value if _is_list(value) else ()


def _object(value: JSON) -> JSONObject:
    return value if isinstance(value, Mapping) else {}


def _is_number(value: JSON) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _at_least_one(count: int) -> bool:
    return count > 0


def _exactly_one(count: int) -> bool:
    return count == 1


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:
        # Of another language's syntax: the tool has to look itself.
        return None


def _matches(pattern: str, text: str) -> bool:
    rule = _compiled(pattern)
    return rule is None or rule.search(text) is not None


def same_json(one: JSON, other: JSON) -> bool:
    """Tell whether two JSON values are the same value: 1 is 1.0, and true is not 1."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same_json(item, other[key]) for key, item in one.items())
    if _is_list(one) and _is_list(other):
        return len(one) == len(other) and all(map(same_json, one, other))
    return isinstance(one, bool) is isinstance(other, bool) and one == other


_TYPES: Mapping[str, Callable[[JSON], bool]] = {
    "object": lambda value: isinstance(value, Mapping),
    "array": _is_list,
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and value == value // 1,
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}


def _type(value: JSON, rule: JSON) -> str:
    names = [name for name in ([rule] if isinstance(rule, str) else _list(rule)) if isinstance(name, str)]
    fits = any(name in _TYPES and _TYPES[name](value) for name in names)
    return "" if fits else f"must be of type {' or '.join(names)}"


def _enum(value: JSON, rule: JSON) -> str:
    return "" if any(same_json(value, one) for one in _list(rule)) else "must be one of the values listed"


def _const(value: JSON, rule: JSON) -> str:
    return "" if same_json(value, rule) else "must be the one value allowed"


def _required(value: JSON, rule: JSON) -> str:
    missing = [str(name) for name in _list(rule) if name not in value] if isinstance(value, Mapping) else []
    return f"{', '.join(missing)} must be given" if missing else ""


def _pattern(value: JSON, rule: JSON) -> str:
    wrong = isinstance(value, str) and isinstance(rule, str) and not _matches(rule, value)
    return "must match the pattern" if wrong else ""


def _multiple(value: JSON, rule: JSON) -> str:
    wrong = _is_number(value) and _is_number(rule) and rule != 0 and _is_broken(value, rule)
    return "must be a multiple of the number named" if wrong else ""


def _is_broken(value: float, rule: float) -> bool:
    if isinstance(value, int) and isinstance(rule, int):
        return value % rule != 0
    try:
        return not (value / rule).is_integer()
    except OverflowError:
        # Beyond a float: the tool has to look itself.
        return False


_Check: TypeAlias = Callable[[JSON, JSON], str]


def _bound(fits: Callable[[float, float], bool], what: str, measure: Callable[[JSON], float | None]) -> _Check:
    def check(value: JSON, rule: JSON) -> str:
        size = measure(value)
        if size is None or not _is_number(rule) or fits(size, rule):
            return ""
        return what.format(rule)

    return check


def _number(value: JSON) -> float | None:
    return value if _is_number(value) else None


def _length(value: JSON) -> float | None:
    return len(value) if isinstance(value, str) else None


def _items(value: JSON) -> float | None:
    return len(value) if _is_list(value) else None


def _keys(value: JSON) -> float | None:
    return len(value) if isinstance(value, Mapping) else None


def _at_least(size: float, rule: float) -> bool:
    return size >= rule


def _at_most(size: float, rule: float) -> bool:
    return size <= rule


_CHECKS: Mapping[str, _Check] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "required": _required,
    "pattern": _pattern,
    "multipleOf": _multiple,
    "minimum": _bound(_at_least, "must be at least {}", _number),
    "maximum": _bound(_at_most, "must be at most {}", _number),
    "exclusiveMinimum": _bound(lambda size, rule: size > rule, "must be more than {}", _number),
    "exclusiveMaximum": _bound(lambda size, rule: size < rule, "must be less than {}", _number),
    "minLength": _bound(_at_least, "must have at least {} characters", _length),
    "maxLength": _bound(_at_most, "must have at most {} characters", _length),
    "minItems": _bound(_at_least, "must have at least {} items", _items),
    "maxItems": _bound(_at_most, "must have at most {} items", _items),
    "minProperties": _bound(_at_least, "must have at least {} keys", _keys),
    "maxProperties": _bound(_at_most, "must have at most {} keys", _keys),
}
