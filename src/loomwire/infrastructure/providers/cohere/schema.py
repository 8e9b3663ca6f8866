"""JSON Schemas as Cohere takes them: what it knows as it is, and an honest refusal of the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from loomwire.domain.errors import CapabilityError
from loomwire.domain.values import JSON, JSONObject

# Its page on structured outputs, "Unsupported schema features", and what that page does not speak of at all.
_UNKNOWN = frozenset(
    {"allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies"}
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
    | {"minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains", "prefixItems"}
    | {"minLength", "maxLength", "minProperties", "maxProperties", "propertyNames", "patternProperties"}
    | {"unevaluatedItems", "unevaluatedProperties"}
)
_FORMATS = frozenset({"date-time", "uuid", "date", "time"})
_NAMED = ("properties", "$defs", "definitions")
_ANCHORS = re.compile(r"(?<!\\)(?:\\\\)*(?:(?<!\[)\^|\$)|\(\?[=!<]")


def cohere_schema(schema: JSONObject, *, strict: bool) -> JSONObject:
    """Return a schema in the part of JSON Schema that Cohere knows, meaning the same or less than the original.

    Args:
        schema: As the caller wrote it.
        strict: The answer must keep to all of it; else keywords that Cohere does not know are left out.

    Raises:
        CapabilityError: Cohere cannot be held to a keyword, which the message names.
    """
    return _object(schema, "$", strict=strict)


def _object(schema: JSONObject, where: str, *, strict: bool) -> dict[str, JSON]:
    kept: dict[str, JSON] = {}
    for keyword, value in schema.items():
        if not _is_known(keyword, value):
            if strict:
                raise _refused(f"{where}.{keyword}")
            continue
        if keyword == "pattern" and isinstance(value, str):
            pattern = _pattern(value)
            if pattern is None and strict:
                raise _refused(f"{where}.{keyword}")
            kept |= {} if pattern is None else {"pattern": pattern}
        else:
            kept[keyword] = _inner(keyword, value, f"{where}.{keyword}", strict=strict)
    return kept


def _is_known(keyword: str, value: JSON) -> bool:
    if keyword == "format":
        return value in _FORMATS
    return keyword not in _UNKNOWN


def _inner(keyword: str, value: JSON, where: str, *, strict: bool) -> JSON:
    if keyword in _NAMED and isinstance(value, Mapping):
        return {name: _schema(each, f"{where}.{name}", strict=strict) for name, each in value.items()}
    if keyword == "anyOf" and isinstance(value, Sequence) and not isinstance(value, str):
        return [_schema(each, f"{where}[{place}]", strict=strict) for place, each in enumerate(value)]
    return _schema(value, where, strict=strict) if keyword in ("items", "additionalProperties") else value


def _schema(schema: JSON, where: str, *, strict: bool) -> JSON:
    return _object(schema, where, strict=strict) if isinstance(schema, Mapping) else schema


def _pattern(pattern: str) -> str | None:
    """Return a pattern without anchors, or None when it needs them: Cohere matches whole texts and knows none."""
    bare = pattern.removeprefix("^")
    if bare.endswith("$") and not bare.endswith("\\$"):
        bare = bare[:-1]
    return None if _ANCHORS.search(bare) else bare


def _refused(where: str) -> CapabilityError:
    return CapabilityError(
        f"Cohere cannot be held to the JSON Schema keyword at {where}",
        hint="Remove the keyword, set strict=False, or ask for any JSON object and check it yourself.",
    )
