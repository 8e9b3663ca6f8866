"""Turns the recorded requests of other programs back into ours: what a caller of loomwire would have asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from urllib.parse import parse_qs, unquote, urlsplit

from loomwire.domain.config import LLMConfig
from loomwire.domain.messages import Image, Message, Part, Reasoning, Text, ToolResult
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.tools import Tool, ToolChoice, ToolNamed
from loomwire.domain.values import JSON, NO_JSON, JSONObject, ToolCall
from support.json_reading import count, effort, number, object_of, objects_if_listed
from support.wire_playback import Recording

_OURS = frozenset(
    {"model", "messages", "stream", "stream_options", "tools", "tool_choice", "response_format"}
    | {"temperature", "top_p", "presence_penalty", "frequency_penalty", "max_tokens", "max_completion_tokens"}
    | {"seed", "random_seed", "stop", "reasoning_effort"}
)
_NO_PARAMETERS: JSONObject = {"type": "object", "properties": {}}


def rebuilt(recording: Recording) -> tuple[LLMRequest, LLMConfig, bool]:
    """Return what a caller would ask to have a recorded request sent, of whom, and whether as a stream.

    Fields that are no part of `LLMRequest` become its `extra`.
    """
    body = recording.request
    assert isinstance(body, Mapping)
    parts = urlsplit(recording.url)
    _, found, deployment = parts.path.partition("/deployments/")
    named = unquote(deployment.partition("/")[0]) or str(body["model"])
    version = parse_qs(parts.query).get("api-version", [None])[0]
    # The address as an operator would write it: without the path of the call and without a slash too many.
    base = recording.url.partition("?")[0].partition("/deployments/")[0] if found else ""
    base = base or recording.url.partition("?")[0].removesuffix("/chat/completions")
    target = recording.target(base.replace("com//", "com/"))
    config = replace(target, model=named, api_version=version, lenient_terminal=False)
    choice = _tool_choice(body.get("tool_choice"))
    request = LLMRequest(
        tuple(_message(each) for each in objects_if_listed(body["messages"])),
        tools=tuple(_tool(each) for each in objects_if_listed(body.get("tools"))),
        tool_choice=choice,
        output=_output(body.get("response_format")),
        parameters=_parameters(body),
        extra={key: value for key, value in body.items() if key not in _OURS},
    )
    return request, config, bool(body.get("stream"))


def canonical(body: JSON) -> JSON:
    """Return a request in which texts that say the same are written in one way.

    One part of text is that text; null beside tool calls is no text; arguments are compared as JSON; what a tool
    answered in parts is JSON text, because a `ToolResult` holds JSON and no pictures.
    """
    if not isinstance(body, Mapping):
        return body
    return {**body, "messages": [_canonical_message(each) for each in objects_if_listed(body.get("messages"))]}


def _canonical_message(message: JSONObject) -> JSONObject:
    same = dict(message)
    content = message.get("content")
    match content:
        case [{"type": "text", "text": str(text), **rest}] if not rest:
            same["content"] = text
        case None:
            same["content"] = ""
        case [*_] if message["role"] == "tool":
            same["content"] = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        case _:
            pass
    if message.get("tool_calls"):
        same["tool_calls"] = [_canonical_call(call) for call in objects_if_listed(message["tool_calls"])]
    return same


def _canonical_call(call: JSONObject) -> JSONObject:
    function = object_of(call["function"])
    return {**call, "function": {**function, "arguments": json.loads(str(function["arguments"]))}}


def _message(wire: JSONObject) -> Message:
    match wire["role"]:
        case "tool":
            return Message.tool(ToolResult(str(wire["tool_call_id"]), wire["content"], str(wire.get("name", ""))))
        case "assistant":
            return Message("assistant", tuple(_said(wire)) or (Text(""),))
        case role:
            parts = tuple(_parts(wire["content"]))
            return Message("system" if role == "system" else "user", parts, cache_point=_is_marked(wire["content"]))


def _said(wire: JSONObject) -> Iterator[Part]:
    thought = wire.get("reasoning_content") or wire.get("reasoning")
    if isinstance(thought, str):
        yield Reasoning(thought)
    yield from _parts(wire.get("content"))
    for call in objects_if_listed(wire.get("tool_calls")):
        function = object_of(call["function"])
        arguments = json.loads(str(function["arguments"]))
        yield ToolCall(str(call["id"]), str(function["name"]), arguments)


def _parts(content: JSON) -> Iterator[Text | Image]:
    if isinstance(content, str) and content:
        yield Text(content)
    for part in objects_if_listed(content):
        image = part.get("image_url")
        if image is None:
            yield Text(str(part["text"]))
        else:
            yield Image(url=str(image["url"] if isinstance(image, Mapping) else image))


def _is_marked(content: JSON) -> bool:
    return any("cache_control" in part for part in objects_if_listed(content))


def _tool(wire: JSONObject) -> Tool:
    function = object_of(wire["function"])
    parameters = object_of(function.get("parameters", NO_JSON))
    return Tool(
        str(function["name"]),
        str(function.get("description") or ""),
        NO_JSON if parameters == _NO_PARAMETERS else parameters,
        strict=function.get("strict") is True,
    )


def _tool_choice(wire: JSON) -> ToolChoice:
    match wire:
        case {"function": {"name": str(name)}}:
            return ToolNamed(name)
        case "required" | "any":
            return "required"
        case "none":
            return "none"
        case _:
            return "auto"


def _output(wire: JSON) -> OutputSpec | None:
    match wire:
        case {"type": "json_schema", "json_schema": {"schema": Mapping() as schema, "name": str(name), **rest}}:
            return OutputSpec(schema, name, rest.get("strict") is True, str(rest.get("description", "")))
        case {"type": "json_object"}:
            return OutputSpec()
        case _:
            return None


def _parameters(body: JSONObject) -> Parameters:
    stop = body.get("stop")
    return Parameters(
        temperature=number(body.get("temperature")),
        top_p=number(body.get("top_p")),
        max_tokens=count(body.get("max_completion_tokens", body.get("max_tokens"))),
        stop=(stop,) if isinstance(stop, str) else tuple(map(str, stop)) if isinstance(stop, Sequence) else (),
        seed=count(body.get("seed", body.get("random_seed"))),
        presence_penalty=number(body.get("presence_penalty")),
        frequency_penalty=number(body.get("frequency_penalty")),
        reasoning_effort=effort(body.get("reasoning_effort")),
    )
