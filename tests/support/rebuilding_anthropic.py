"""Requests of ours for what other programs sent to Anthropic, read back from their recorded JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from loomwire.domain.config import LLMConfig
from loomwire.domain.messages import Image, Message, Part, Reasoning, Text, ToolResult
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.tools import Tool, ToolChoice, ToolNamed
from loomwire.domain.values import JSON, JSONObject, ToolCall
from support.json_reading import number, objects, values, whole
from support.wire_playback import Recording

EXTRA = ("top_k",)


def rebuilt(recording: Recording) -> tuple[LLMRequest, LLMConfig]:
    """Return the request and the target that say what a recording's program said."""
    sent = whole(recording.request)
    tools = objects(sent.get("tools"))
    ours = tuple(_tool(tool) for tool in tools if "input_schema" in tool)
    choice = whole(sent.get("tool_choice"))
    extra = {key: sent[key] for key in EXTRA if key in sent}
    thinking = whole(sent.get("thinking"))
    if thinking and thinking != {"type": "disabled"}:
        extra["thinking"] = thinking
    if len(ours) < len(tools):
        extra["tools"] = tools
    if choice and (not ours or "disable_parallel_tool_use" in choice):
        extra["tool_choice"] = choice
    request = LLMRequest(
        tuple(_messages(sent)),
        tools=ours,
        tool_choice=_choice(choice) if ours else "auto",
        output=_output(sent),
        parameters=Parameters(
            temperature=number(sent.get("temperature")),
            top_p=number(sent.get("top_p")),
            max_tokens=int(number(sent.get("max_tokens")) or 0),
            stop=tuple(str(word) for word in values(sent.get("stop_sequences"))),
            reasoning_effort="none" if thinking == {"type": "disabled"} else None,
        ),
        extra=extra,
    )
    return request, replace(recording.target(), model=str(sent["model"]))


def spelled_out(body: JSON) -> dict[str, JSON]:
    """Return a request without its shorthands, which the vendor's page calls equivalent.

    A text for content stands for one block of type text, and the former `output_format` for `output_config.format`.
    """
    sent = dict(whole(body))
    sent["messages"] = [{**turn, "content": _blocks(turn["content"])} for turn in objects(sent.get("messages"))]
    if "system" in sent:
        sent["system"] = _blocks(sent["system"])
    if "output_format" in sent:
        sent["output_config"] = {"format": sent.pop("output_format")}
    return sent


def _blocks(content: JSON) -> list[JSONObject]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else objects(content)


def _tool(tool: JSONObject) -> Tool:
    return Tool(str(tool["name"]), str(tool.get("description", "")), whole(tool["input_schema"]))


def _choice(choice: JSONObject) -> ToolChoice:
    if choice.get("type") == "tool":
        return ToolNamed(str(choice["name"]))
    return "none" if choice.get("type") == "none" else "required" if choice.get("type") == "any" else "auto"


def _output(sent: JSONObject) -> OutputSpec | None:
    form = whole(sent.get("output_format") or whole(sent.get("output_config")).get("format"))
    return OutputSpec(whole(form["schema"])) if form else None


def _messages(sent: JSONObject) -> Iterator[Message]:
    if "system" in sent:
        yield Message("system", tuple(Text(str(block["text"])) for block in _blocks(sent["system"])))
    for turn in objects(sent["messages"]):
        blocks = _blocks(turn["content"])
        point = any("cache_control" in block for block in blocks)
        parts = tuple(_part(block) for block in blocks)
        if turn["role"] == "assistant":
            yield Message("assistant", parts, cache_point=point)
            continue
        results = tuple(part for part in parts if isinstance(part, ToolResult))
        if results:
            yield Message("tool", results)
        others = tuple(part for part in parts if not isinstance(part, ToolResult))
        if others:
            yield Message("user", others, cache_point=point)


def _part(block: JSONObject) -> Part:
    kind = block["type"]
    if kind == "image":
        source = whole(block["source"])
        return Image(url=f"data:{source['media_type']};base64,{source['data']}")
    if kind == "tool_use":
        return ToolCall(str(block["id"]), str(block["name"]), whole(block["input"]))
    if kind == "tool_result":
        return ToolResult(str(block["tool_use_id"]), block["content"], is_error=block.get("is_error") is True)
    if kind == "thinking":
        return Reasoning(str(block["thinking"]), str(block["signature"]), origin="anthropic")
    assert kind == "text", json.dumps(block)
    return Text(str(block["text"]))
