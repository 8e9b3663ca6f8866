"""Which JSON Schemas Ollama can hold an answer to: it makes a grammar of them, and leaves out what has no grammar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from loomwire.domain.errors import CapabilityError
from loomwire.domain.values import JSON, JSONObject

# Without a word it answers as if they were not there.
_LEFT_OUT = frozenset(
    {"not", "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies"}
    | {"multipleOf", "uniqueItems", "contains", "minContains", "maxContains"}
    | {"minProperties", "maxProperties", "propertyNames", "patternProperties"}
    | {"unevaluatedItems", "unevaluatedProperties"}
)
_RANGES = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_FORMATS = frozenset({"date-time", "date", "time", "uuid"})
_NAMED = ("properties", "$defs", "definitions")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_ONE = ("items", "additionalProperties")


def check_schema(schema: JSONObject) -> None:
    """Refuse a schema of which Ollama would leave out a part without saying so.

    Raises:
        CapabilityError: The message names the keyword.
    """
    where = next(_left_out(schema, "$"), None)
    if where is not None:
        raise CapabilityError(
            f"Ollama cannot be held to the JSON Schema keyword at {where}",
            hint="Remove the keyword, or set strict=False and check it yourself.",
        )


def _left_out(schema: JSON, where: str) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        return
    for keyword, value in schema.items():
        if not _is_kept(keyword, value, schema):
            yield f"{where}.{keyword}"
        for child, place in _children(keyword, value):
            yield from _left_out(child, f"{where}.{keyword}{place}")


def _is_kept(keyword: str, value: JSON, schema: JSONObject) -> bool:
    if keyword == "format":
        return value in _FORMATS
    if keyword in _RANGES:
        return schema.get("type") == "integer"  # of other numbers the grammar knows no size
    if keyword == "pattern":
        return isinstance(value, str) and value.startswith("^") and value.endswith("$")
    return keyword not in _LEFT_OUT


def _children(keyword: str, value: JSON) -> Iterator[tuple[JSON, str]]:
    if keyword in _NAMED and isinstance(value, Mapping):
        yield from ((child, f".{name}") for name, child in value.items())
    elif keyword in _LISTED and isinstance(value, Sequence) and not isinstance(value, str):
        yield from ((child, f"[{place}]") for place, child in enumerate(value))
    elif keyword in _ONE:
        yield value, ""
