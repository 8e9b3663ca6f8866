"""Reads and merges JSON Schemas for the maker of examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from loomwire.domain.values import JSON, JSONObject


class NothingFitsError(Exception):
    """A branch of a schema allows no value that we can make up."""


def object_schema(schema: JSON) -> JSONObject:
    """Return a schema as an object; `true` allows anything.

    Raises:
        NothingFitsError: It is `false`.
    """
    if schema is False:
        raise NothingFitsError("a part of it allows nothing")
    return mapping(schema)


def mapping(value: JSON) -> JSONObject:
    """Return an object, or an empty one in place of anything else."""
    return value if isinstance(value, Mapping) else {}


def items(value: JSON) -> Sequence[JSON]:
    """Return a list, or an empty one in place of anything else."""
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def names(value: JSON) -> list[str]:
    """Return one text or a list of them as a list."""
    return [name for name in ([value] if isinstance(value, str) else items(value)) if isinstance(name, str)]


def count(schema: JSONObject, key: str, default: int) -> int:
    """Return a keyword's whole number."""
    value = fraction(schema, key)
    return default if value is None else int(value)


def fraction(schema: JSONObject, key: str) -> Fraction | None:
    """Return a keyword's number, exactly as its author wrote it."""
    value = schema.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    # By its digits: the float 0.1 is not a tenth, but the schema's author means one.
    return Fraction(str(value))


def merged(one: JSONObject, other: JSONObject) -> JSONObject:
    """Return a schema that allows what both allow, as far as the maker of examples looks at it."""
    both = {**one, **other}
    for key in one:
        if key in other and key in _JOINTS:
            both[key] = _JOINTS[key](one[key], other[key])
    return both


def _both(one: JSON, other: JSON) -> JSON:
    return {"allOf": [one, other]}


def _properties(one: JSON, other: JSON) -> JSON:
    first, second = mapping(one), mapping(other)
    shared = {name: _both(first[name], second[name]) for name in first if name in second}
    return {**first, **second, **shared}


def _pairs(one: JSON, other: JSON) -> JSON:
    return [_both(left, right) for left in items(one) for right in items(other)]


def _shared(one: JSON, other: JSON) -> JSON:
    return [item for item in items(one) if item in items(other)]


def _listed(one: JSON, other: JSON) -> JSON:
    return [*items(one), *items(other)]


def _types(one: JSON, other: JSON) -> JSON:
    # A number may be an integer; then the narrower name is the one both allow.
    wide = [[*names(value), *(["integer"] if "number" in names(value) else [])] for value in (one, other)]
    return [name for name in (*names(one), *names(other)) if name in wide[0] and name in wide[1]]


def _larger(one: JSON, other: JSON) -> JSON:
    return max(one, other) if isinstance(one, int | float) and isinstance(other, int | float) else other


def _smaller(one: JSON, other: JSON) -> JSON:
    return min(one, other) if isinstance(one, int | float) and isinstance(other, int | float) else other


_JOINTS: Mapping[str, Callable[[JSON, JSON], JSON]] = {
    "properties": _properties,
    "items": _both,
    "additionalProperties": _both,
    "anyOf": _pairs,
    "oneOf": _pairs,
    "enum": _shared,
    "required": _listed,
    "type": _types,
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), _larger),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), _smaller),
}
