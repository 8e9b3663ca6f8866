"""Tools: what a model may call, and whether a JSON Schema is one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias


from loomwire.domain.errors import LLMValidationError
from loomwire.domain.values import JSON, NO_JSON, JSONObject

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_SUBSCHEMAS = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_SUBSCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SUBSCHEMA_MAPS = ("properties", "$defs", "definitions", "patternProperties")
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
        strict: Ask the provider to keep to the schema exactly, where it can.

    Raises:
        LLMValidationError: The name or the schema is not valid; the message says where.
    """

    name: str
    description: str = ""
    parameters: JSONObject = NO_JSON
    strict: bool = False

    def __post_init__(self) -> None:
        """Refuse a name or schema that a provider would refuse, before money is spent."""
        if not _NAME.fullmatch(self.name):
            raise LLMValidationError(f"tool name {self.name!r} must be 1 to 64 letters, digits, '_' or '-'")
        problem = schema_problem(self.parameters)
        if problem is None and self.parameters and self.parameters.get("type") != "object":
            problem = "$: a tool's parameters must have type 'object'"
        if problem:
            raise LLMValidationError(f"tool {self.name!r}: parameters are no JSON Schema: {problem}")


def schema_problem(schema: JSON) -> str | None:
    """Return the first reason why a value cannot be a JSON Schema, as `where: what`, or None.

    Checks the shape that providers reject (draft 2020-12: keyword types, `type` names, nesting), not the semantics.
    """
    return next(_problems(schema, "$", 0), None)


def _problems(schema: JSON, where: str, depth: int) -> Iterator[str]:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        yield f"{where}: a schema is an object, not {_kind(schema)}"
        return
    if depth > _MAX_DEPTH:
        yield f"{where}: nested deeper than {_MAX_DEPTH}"
        return
    yield from _keyword_problems(schema, where)
    for child, path in _children(schema, where):
        yield from _problems(child, path, depth + 1)


def _keyword_problems(schema: JSONObject, where: str) -> Iterator[str]:
    kind = schema.get("type")
    names: Sequence[JSON] = [kind] if isinstance(kind, str) else kind if isinstance(kind, Sequence) else []
    if kind is not None and (not names or any(name not in _TYPES for name in names if isinstance(name, str))):
        yield f"{where}.type: must be one of {', '.join(sorted(_TYPES))}"
    required = schema.get("required")
    if required is not None and (
        isinstance(required, str)
        or not isinstance(required, Sequence)
        or not all(isinstance(name, str) for name in required)
    ):
        yield f"{where}.required: must be a list of names"
    options = schema.get("enum")
    if options is not None and (isinstance(options, str) or not isinstance(options, Sequence)):
        yield f"{where}.enum: must be a list"


def _children(schema: JSONObject, where: str) -> Iterator[tuple[JSON, str]]:
    for key in _SUBSCHEMAS:
        if key in schema:
            yield schema[key], f"{where}.{key}"
    for key in _SUBSCHEMA_LISTS:
        listed = schema.get(key)
        if listed is not None:
            items = listed if isinstance(listed, Sequence) and not isinstance(listed, str) else [listed]
            yield from ((item, f"{where}.{key}[{i}]") for i, item in enumerate(items))
    for key in _SUBSCHEMA_MAPS:
        mapped = schema.get(key)
        if mapped is not None:
            entries = mapped.items() if isinstance(mapped, Mapping) else [("?", mapped)]
            yield from ((child, f"{where}.{key}.{name}") for name, child in entries)


def _kind(value: JSON) -> str:
    return {str: "text", int: "a number", float: "a number", list: "a list"}.get(type(value), "null")
