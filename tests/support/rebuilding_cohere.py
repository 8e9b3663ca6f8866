"""From a request that another program sent to Cohere's chat v2 to the `LLMRequest` that asks the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from loomwire.domain.config import LLMConfig
from loomwire.domain.messages import Message, Part, Reasoning, Role, Text, ToolResult
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON, JSONObject, ToolCall
from loomwire.infrastructure.providers.wire.json_bytes import parse_arguments
from support.json_reading import object_of, objects_of
from support.wire_playback import Recording

ROLES: Mapping[JSON, Role] = {"system": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
NO_TYPES: Mapping[JSON, str] = {"str": "string", "int": "integer"}
"""What one program takes for types of JSON Schema, and what they are; loomwire refuses them."""

OURS = frozenset({"model", "messages", "stream", "tools", "response_format", "temperature", "max_tokens"})


def rebuilt(recording: Recording) -> tuple[LLMRequest, LLMConfig]:
    """Return the request and the target; fields that loomwire has no words for go into `extra`."""
    sent = object_of(recording.request)
    temperature, most, stop = sent.get("temperature"), sent.get("max_tokens"), texts_of(sent.get("stop_sequences"))
    assert temperature is None or isinstance(temperature, float | int)
    assert most is None or isinstance(most, int)
    request = LLMRequest(
        tuple(message_of(each) for each in objects_of(sent["messages"])),
        tuple(tool_of(each) for each in objects_of(sent.get("tools", ()))),
        output=OutputSpec() if "response_format" in sent else None,
        parameters=Parameters(temperature=temperature, max_tokens=most, stop=stop),
        extra={name: value for name, value in sent.items() if name not in OURS | {"stop_sequences"}},
    )
    return request, replace(recording.target(), model=str(sent["model"]))


def message_of(wire: JSONObject) -> Message:
    """Return one message."""
    role = ROLES[wire["role"]]
    if role == "tool":
        return Message.tool(ToolResult(str(wire["tool_call_id"]), wire["content"]))
    return Message(role, tuple(parts_of(wire)) or (Text(""),))


def parts_of(wire: JSONObject) -> Iterator[Part]:
    """Yield what a message says."""
    if "tool_plan" in wire:
        yield Reasoning(wire={"tool_plan": wire["tool_plan"]}, origin="cohere")
    content = wire.get("content", ())
    if isinstance(content, str):
        yield Text(content)
    else:
        yield from (Text(str(part["text"])) for part in objects_of(content))
    for call in objects_of(wire.get("tool_calls", ())):
        function = object_of(call["function"])
        yield ToolCall(str(call["id"]), str(function["name"]), parse_arguments(str(function["arguments"])))


def tool_of(wire: JSONObject) -> Tool:
    """Return one tool."""
    function = object_of(wire["function"])
    parameters = object_of(corrected(function["parameters"]))
    return Tool(str(function["name"]), str(function["description"]), parameters)


def corrected(schema: JSON) -> JSON:
    """Return a schema in which types are types."""
    if isinstance(schema, Mapping):
        return {
            name: NO_TYPES.get(value, value) if name == "type" and isinstance(value, str) else corrected(value)
            for name, value in schema.items()
        }
    return schema


def texts_of(value: JSON) -> tuple[str, ...]:
    """Return a list of texts as one; empty for null."""
    assert value is None or isinstance(value, Sequence)
    return tuple(str(each) for each in value or ())
