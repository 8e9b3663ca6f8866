"""Turns recorded requests of the Responses API back into ours: what a caller of loomwire would have asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from loomwire.domain.config import LLMConfig
from loomwire.domain.messages import Image, Message, Part, Reasoning, Text, ToolResult
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.tools import Tool, ToolChoice, ToolNamed
from loomwire.domain.values import JSON, NO_JSON, JSONObject, ToolCall
from support.json_reading import count, effort, number, object_of, objects_if_listed
from support.wire_playback import Recording

_OURS = frozenset(
    {"model", "input", "stream", "store", "include", "tools", "tool_choice", "text", "reasoning"}
    | {"temperature", "top_p", "max_output_tokens"}
)
_ASSISTANT = frozenset({"reasoning", "function_call"})


def rebuilt(recording: Recording) -> tuple[LLMRequest, LLMConfig, bool]:
    """Return what a caller would ask to have a recorded request sent, of whom, and whether as a stream.

    Fields that are no part of `LLMRequest` become its `extra`, tools of the server among them.
    """
    body = recording.request
    assert isinstance(body, Mapping)
    items = _items(body["input"])
    target = recording.target(recording.url.removesuffix("/responses"))
    config = replace(target, model=str(body["model"]), allow_private=recording.url.startswith("http://"))
    if any(item.get("role") == "developer" for item in items):
        config = replace(config, options={"quirks": {"system_role": "developer"}})
    reasoning, tools = object_of(body.get("reasoning", NO_JSON)), objects_if_listed(body.get("tools"))
    extra: dict[str, JSON] = {key: value for key, value in body.items() if key not in _OURS}
    if reasoning.keys() - {"effort"}:
        extra["reasoning"] = {key: value for key, value in reasoning.items() if key != "effort"}
    served = [tool for tool in tools if tool["type"] != "function"]
    if served:
        extra["tools"] = served
    request = LLMRequest(
        tuple(_messages(items)),
        tools=tuple(_tool(tool) for tool in tools if tool["type"] == "function"),
        tool_choice=_tool_choice(body.get("tool_choice")),
        output=_output(object_of(body.get("text", NO_JSON)).get("format")),
        parameters=Parameters(
            temperature=number(body.get("temperature")),
            top_p=number(body.get("top_p")),
            max_tokens=count(body.get("max_output_tokens")),
            reasoning_effort=effort(reasoning.get("effort")),
        ),
        extra=extra,
    )
    return request, config, bool(body.get("stream"))


def canonical(body: JSON) -> JSON:
    """Return a request in which what means the same is written in one way.

    A text in place of the conversation is a user's message, an item with a role is a message whether or not it says
    so, one part of text is that text, and arguments are compared as JSON.
    """
    assert isinstance(body, Mapping)
    return {**body, "input": [_canonical_item(item) for item in _items(body["input"])]}


def _canonical_item(item: JSONObject) -> JSONObject:
    same = dict(item)
    if "role" in same:
        same.pop("type", None)
    parts = objects_if_listed(same.get("content"))
    if len(parts) == 1 and set(parts[0]) == {"type", "text"}:
        same["content"] = parts[0]["text"]
    if "arguments" in same:
        same["arguments"] = json.loads(str(same["arguments"]))
    return same


def _items(wire: JSON) -> Sequence[JSONObject]:
    return [{"role": "user", "content": wire}] if isinstance(wire, str) else objects_if_listed(wire)


def _messages(items: Sequence[JSONObject]) -> Iterator[Message]:
    said: list[Part] = []
    for item in items:
        if item.get("role") == "assistant" or item.get("type") in _ASSISTANT:
            said += _said(item)
            continue
        if said:
            yield Message("assistant", tuple(said))
            said = []
        if item.get("type") == "function_call_output":
            yield Message.tool(ToolResult(str(item["call_id"]), item["output"]))
        else:
            yield Message("user" if item["role"] == "user" else "system", tuple(_parts(item["content"])))
    if said:
        yield Message("assistant", tuple(said))


def _said(item: JSONObject) -> Iterator[Part]:
    match item:
        case {"type": "reasoning"}:
            yield Reasoning(wire=item)
        case {"type": "function_call", "call_id": str(id_), "name": str(name), "arguments": str(arguments)}:
            yield ToolCall(id_, name, json.loads(arguments))
        case _:
            yield from _parts(item["content"])


def _parts(content: JSON) -> Iterator[Text | Image]:
    if isinstance(content, str):
        yield Text(content)
    for part in objects_if_listed(content):
        if part["type"] == "input_image":
            yield Image(url=str(part["image_url"]))
        else:
            yield Text(str(part["text"]))


def _tool(wire: JSONObject) -> Tool:
    return Tool(
        str(wire["name"]),
        str(wire.get("description") or ""),
        object_of(wire["parameters"]),
        strict=wire.get("strict") is True,
    )


def _tool_choice(wire: JSON) -> ToolChoice:
    match wire:
        case {"name": str(name)}:
            return ToolNamed(name)
        case "required":
            return "required"
        case "none":
            return "none"
        case _:
            return "auto"


def _output(wire: JSON) -> OutputSpec | None:
    match wire:
        case {"type": "json_schema", "schema": Mapping() as schema, "name": str(name), **rest}:
            return OutputSpec(schema, name, rest.get("strict") is True, str(rest.get("description", "")))
        case {"type": "json_object"}:
            return OutputSpec()
        case _:
            return None
