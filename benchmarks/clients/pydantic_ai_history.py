"""The long conversation in pydantic-ai's own messages and tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module

from benchmarks.payloads import Json, long_body

_messages = import_module("pydantic_ai.messages")
_tools = import_module("pydantic_ai.tools")
_models = import_module("pydantic_ai.models")


def history() -> Sequence[object]:
    """Return the 40 messages."""
    return [_message(_object(wire)) for wire in _list(long_body()["messages"])]


def tools() -> object:
    """Return the 20 tools as parameters of a request."""
    functions = [_object(_object(tool)["function"]) for tool in _list(long_body()["tools"])]
    defined = [
        _tools.ToolDefinition(
            name=function["name"], description=function["description"], parameters_json_schema=function["parameters"]
        )
        for function in functions
    ]
    return _models.ModelRequestParameters(function_tools=defined)


def _message(fields: Mapping[str, Json]) -> object:
    text = fields["content"]
    match fields["role"]:
        case "system":
            return _messages.ModelRequest(parts=[_messages.SystemPromptPart(text)])
        case "user":
            return _messages.ModelRequest(parts=[_messages.UserPromptPart(text)])
        case "tool":
            part = _messages.ToolReturnPart(tool_name="tool_3", content=text, tool_call_id=fields["tool_call_id"])
            return _messages.ModelRequest(parts=[part])
        case _:
            calls = [_call(_object(call)) for call in _list(fields.get("tool_calls", []))]
            return _messages.ModelResponse(parts=[*([_messages.TextPart(text)] if text else []), *calls])


def _call(wire: Mapping[str, Json]) -> object:
    function = _object(wire["function"])
    return _messages.ToolCallPart(function["name"], function["arguments"], wire["id"])


def _object(value: Json) -> Mapping[str, Json]:
    assert isinstance(value, Mapping)
    return value


def _list(value: Json) -> Sequence[Json]:
    assert isinstance(value, Sequence)
    return value
