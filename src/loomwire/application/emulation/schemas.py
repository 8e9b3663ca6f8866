"""The schema of an answer that may call tools: every tool's calls, and the text beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON, JSONObject

_ANY_OBJECT: JSONObject = {"type": "object"}


def envelope_schema(tools: Sequence[Tool], answer: JSONObject | None, *, must_call: bool) -> JSONObject:
    """Return the schema of an object with `tool_calls` and, unless a call is a must, `answer`.

    Its root is a plain object, because several vendors take no other, and `tool_calls` comes first, because servers
    with a grammar keep to that order: so the first character in it decides whether the model calls.

    Args:
        tools: What may be called, at least one.
        answer: The schema of `answer`; None for a text.
        must_call: There is a call, and no answer.
    """
    shared: dict[str, JSON] = {}
    calls = [_call_schema(tool, shared) for tool in tools]
    listed: dict[str, JSON] = {"type": "array", "items": calls[0] if len(calls) == 1 else {"anyOf": calls}}
    properties: dict[str, JSON] = {"tool_calls": listed}
    if must_call:
        listed["minItems"] = 1
    else:
        properties["answer"] = {"type": "string"} if answer is None else _or_null(_placed(answer, "answer", shared))
    schema: dict[str, JSON] = {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }
    return {**schema, "$defs": shared} if shared else schema


def _call_schema(tool: Tool, shared: dict[str, JSON]) -> JSONObject:
    return {
        "type": "object",
        "properties": {
            "name": {"type": "string", "enum": [tool.name]},
            "arguments": _placed(tool.parameters or _ANY_OBJECT, f"tool_{tool.name}", shared),
        },
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _or_null(schema: JSON) -> JSONObject:
    return {"anyOf": [schema, {"type": "null"}]}


def _placed(schema: JSONObject, name: str, shared: dict[str, JSON]) -> JSON:
    """Return a schema as it can stand inside another: one that refers to itself goes to the shared ones, whole."""
    if not _refers(schema):
        return schema
    shared[name] = _moved(schema, f"#/$defs/{name}")
    return {"$ref": f"#/$defs/{name}"}


def _refers(value: JSON) -> bool:
    if isinstance(value, Mapping):
        return "$ref" in value or any(map(_refers, value.values()))
    return isinstance(value, Sequence) and not isinstance(value, str) and any(map(_refers, value))


def _moved(value: JSON, root: str) -> JSON:
    if isinstance(value, Mapping):
        return {key: _reference(key, each, root) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_moved(each, root) for each in value]
    return value


def _reference(key: str, value: JSON, root: str) -> JSON:
    if key == "$ref" and isinstance(value, str) and value.startswith("#"):
        return root + value[1:]
    return _moved(value, root)
