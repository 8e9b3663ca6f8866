"""Turns the recorded requests of other programs back into ours: what a caller of loomwire would have asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import get_args
from urllib.parse import parse_qs, unquote, urlsplit

from loomwire.domain.config import LLMConfig
from loomwire.domain.messages import Image, Message, Part, Reasoning, Text, ToolResult
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters, ReasoningEffort
from loomwire.domain.tools import Tool, ToolChoice, ToolNamed
from loomwire.domain.values import JSON, NO_JSON, JSONObject, ToolCall
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
        tuple(_message(each) for each in _list(body["messages"])),
        tools=tuple(_tool(each) for each in _list(body.get("tools"))),
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
    return {**body, "messages": [_canonical_message(each) for each in _list(body.get("messages"))]}


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
        same["tool_calls"] = [_canonical_call(call) for call in _list(message["tool_calls"])]
    return same


def _canonical_call(call: JSONObject) -> JSONObject:
    function = _object(call["function"])
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
    for call in _list(wire.get("tool_calls")):
        function = _object(call["function"])
        arguments = json.loads(str(function["arguments"]))
        yield ToolCall(str(call["id"]), str(function["name"]), arguments)


def _parts(content: JSON) -> Iterator[Text | Image]:
    if isinstance(content, str) and content:
        yield Text(content)
    for part in _list(content):
        image = part.get("image_url")
        if image is None:
            yield Text(str(part["text"]))
        else:
            yield Image(url=str(image["url"] if isinstance(image, Mapping) else image))


def _is_marked(content: JSON) -> bool:
    return any("cache_control" in part for part in _list(content))


def _tool(wire: JSONObject) -> Tool:
    function = _object(wire["function"])
    parameters = _object(function.get("parameters", NO_JSON))
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
        temperature=_number(body.get("temperature")),
        top_p=_number(body.get("top_p")),
        max_tokens=_count(body.get("max_completion_tokens", body.get("max_tokens"))),
        stop=(stop,) if isinstance(stop, str) else tuple(map(str, stop)) if isinstance(stop, Sequence) else (),
        seed=_count(body.get("seed", body.get("random_seed"))),
        presence_penalty=_number(body.get("presence_penalty")),
        frequency_penalty=_number(body.get("frequency_penalty")),
        reasoning_effort=_effort(body.get("reasoning_effort")),
    )


def _effort(wire: JSON) -> ReasoningEffort | None:
    known: tuple[ReasoningEffort, ...] = get_args(ReasoningEffort)
    return next((word for word in known if word == wire), None)


def _number(value: JSON) -> float | None:
    return value if isinstance(value, int | float) else None


def _count(value: JSON) -> int | None:
    return value if isinstance(value, int) else None


def _object(value: JSON) -> JSONObject:
    assert isinstance(value, Mapping)
    return value


def _list(value: JSON) -> Sequence[JSONObject]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return ()
    return [_object(each) for each in value]
