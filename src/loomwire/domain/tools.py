"""Tools: what a model may call, and whether a JSON Schema is one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeGuard

from loomwire.domain.errors import LLMValidationError
from loomwire.domain.values import JSON, NO_JSON, JSONObject

WIRE_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""Names of tools and outputs, as every provider accepts them."""

STRICT_KEYWORDS = frozenset(
    {"$defs", "$ref", "additionalProperties", "anyOf", "const", "description", "enum", "format", "items", "pattern"}
    | {"exclusiveMaximum", "exclusiveMinimum", "maxItems", "maximum", "minItems", "minimum", "multipleOf"}
    | {"properties", "required", "title", "type"}
)
"""The part of JSON Schema that strict modes take; other keywords make vendors refuse the request."""

STRICT_FORMATS = frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"})
"""The values of `format` that strict modes take."""

_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class ToolNamed:
    """A tool choice that forces one tool."""

    name: str


ToolChoice: TypeAlias = Literal["auto", "none", "required"] | ToolNamed
"""Whether the model may, must not or must call a tool, or which one it must call."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may ask for. loomwire never runs it.

    Args:
        name: 1 to 64 of letters, digits, `_` and `-`, as every provider accepts them.
        description: What it does, for the model.
        parameters: A JSON Schema of type object for the arguments.
        strict: Ask the provider to keep to the schema exactly, where it can. Where its strict mode takes only closed
            objects without optional properties, it gets the schema narrowed to that: what it answers still fits.

    Raises:
        LLMValidationError: The name or the schema is not valid; the message says where.
    """

    name: str
    description: str = ""
    parameters: JSONObject = NO_JSON
    strict: bool = False

    def __post_init__(self) -> None:
        """Refuse a name or schema that a provider would refuse, before money is spent."""
        if not WIRE_NAME.fullmatch(self.name):
            raise LLMValidationError(f"tool name {self.name!r} must be 1 to 64 letters, digits, '_' or '-'")
        problem = schema_problem(self.parameters)
        if problem is None and self.parameters and self.parameters.get("type") != "object":
            problem = "$: a tool's parameters must have type 'object'"
        if problem:
            raise LLMValidationError(f"tool {self.name!r}: parameters are no JSON Schema: {problem}")


def schema_problem(schema: JSON) -> str | None:
    """Return the first reason why a value cannot be a JSON Schema, as `where: what`, or None. Never raises.

    Checks the shape that providers reject (draft 2020-12: keyword types, `type` names, nesting), not the semantics.

    Example:
        >>> schema_problem({"type": "object", "properties": {"city": {"type": "text"}}})
        '$.properties.city.type: must be one of array, boolean, integer, null, number, object, string'
    """
    return next(_problems(schema, "$", 0), None)


def _problems(schema: JSON, where: str, depth: int) -> Iterator[str]:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        yield f"{where}: a schema is an object, not {_kind(schema)}"
    elif depth > _MAX_DEPTH:
        yield f"{where}: nested deeper than {_MAX_DEPTH}"
    else:
        for keyword, (fits, what) in _KEYWORDS.items():
            if keyword in schema and not fits(schema[keyword]):
                yield f"{where}.{keyword}: must be {what}"
        for child, path in _children(schema, where):
            yield from _problems(child, path, depth + 1)


def _children(schema: JSONObject, where: str) -> Iterator[tuple[JSON, str]]:
    for keyword, value in schema.items():
        if keyword in _ONE_SCHEMA:
            yield value, f"{where}.{keyword}"
        elif keyword in _LISTED_SCHEMAS and _is_list(value):
            yield from ((item, f"{where}.{keyword}[{i}]") for i, item in enumerate(value))
        elif keyword in _NAMED_SCHEMAS and isinstance(value, Mapping):
            yield from ((child, f"{where}.{keyword}.{name}") for name, child in value.items())


def _is_list(value: JSON) -> TypeGuard[Sequence[JSON]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_filled(value: JSON) -> bool:
    return _is_list(value) and len(value) > 0


def _is_object(value: JSON) -> bool:
    return isinstance(value, Mapping)


def _are_names(value: JSON) -> bool:
    return _is_list(value) and all(isinstance(name, str) for name in value)


def _are_types(value: JSON) -> bool:
    names = value if _is_list(value) else [value]
    return len(names) > 0 and all(isinstance(name, str) and name in _TYPES for name in names)


def _kind(value: JSON) -> str:
    if value is None:
        return "null"
    return "text" if isinstance(value, str) else "a number" if isinstance(value, int | float) else "a list"


_ONE_SCHEMA = frozenset({"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"})
_LISTED_SCHEMAS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_NAMED_SCHEMAS = frozenset({"properties", "$defs", "definitions", "patternProperties"})
_KEYWORDS: Mapping[str, tuple[Callable[[JSON], bool], str]] = {
    "type": (_are_types, f"one of {', '.join(sorted(_TYPES))}"),
    "required": (_are_names, "a list of names"),
    "enum": (_is_list, "a list"),
    **dict.fromkeys(sorted(_LISTED_SCHEMAS), (_is_filled, "a list of schemas")),
    **dict.fromkeys(sorted(_NAMED_SCHEMAS), (_is_object, "an object of schemas")),
}
