"""Which schemas the strict modes of vendors take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from loomwire.domain.tools import STRICT_FORMATS, STRICT_KEYWORDS
from loomwire.domain.values import JSON, JSONObject


def is_strict(schema: JSON) -> bool:
    """Tell whether strict modes take the schema: every object closed with all its properties required, no keyword else.

    Asked for strictly, any other schema would be refused by vendors before the model sees it.
    """
    if not isinstance(schema, Mapping) or not schema.keys() <= STRICT_KEYWORDS:
        return False
    if not schema.keys() & {"type", "$ref", "anyOf", "enum", "const"} or not _is_closed(schema):
        return False
    return schema.get("format", "date") in STRICT_FORMATS and all(map(is_strict, _subschemas(schema)))


def _is_closed(schema: JSONObject) -> bool:
    if schema.get("type") != "object":
        return True
    properties, required = schema.get("properties"), schema.get("required", ())
    return (
        schema.get("additionalProperties") is False
        and isinstance(properties, Mapping)
        and isinstance(required, Sequence)
        and set(properties) == set(required)
    )


def _subschemas(schema: JSONObject) -> list[JSON]:
    found: list[JSON] = []
    for keyword in ("properties", "$defs"):
        named = schema.get(keyword)
        found += named.values() if isinstance(named, Mapping) else ()
    options = schema.get("anyOf")
    found += options if isinstance(options, Sequence) else ()
    return [*found, schema["items"]] if "items" in schema else found
