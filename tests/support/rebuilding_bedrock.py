"""Requests of ours for what other programs sent to Bedrock's Converse, read back from their recorded JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import unquote

from loomwire.domain.config import LLMConfig
from loomwire.domain.messages import Image, Message, Part, Text, ToolResult
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.tools import Tool, ToolChoice, ToolNamed
from loomwire.domain.values import JSON, JSONObject, ToolCall
from support.json_reading import number, objects, values, whole
from support.wire_playback import Recording


def rebuilt(recording: Recording) -> tuple[LLMRequest, LLMConfig]:
    """Return the request and the target that say what a recording's program said."""
    sent = whole(recording.request)
    tools = whole(sent.get("toolConfig"))
    inference = whole(sent.get("inferenceConfig"))
    limit = inference.get("maxTokens")
    request = LLMRequest(
        tuple(_messages(sent)),
        tools=tuple(_tool(whole(tool["toolSpec"])) for tool in objects(tools.get("tools"))),
        tool_choice=_choice(whole(tools.get("toolChoice"))),
        output=_output(sent),
        parameters=Parameters(
            temperature=number(inference.get("temperature")),
            top_p=number(inference.get("topP")),
            max_tokens=limit if isinstance(limit, int) else None,
            stop=tuple(str(word) for word in values(inference.get("stopSequences"))),
        ),
    )
    model = unquote(recording.url.partition("/model/")[2].partition("/")[0])
    # That model's name says that it has no format, and yet it was asked for one.
    options: JSONObject = {"quirks": {"json_form": "format"}} if "outputConfig" in sent else {}
    return request, replace(recording.target(), model=model, options=options)


def spelled_out(body: JSON) -> dict[str, JSON]:
    """Return a request whose JSON Schema, which is sent as a text, is JSON, so that blanks in it do not count."""
    sent = dict(whole(body))
    given = whole(whole(whole(whole(sent.get("outputConfig")).get("textFormat")).get("structure")).get("jsonSchema"))
    if given:
        sent["outputConfig"] = {"schema": json.loads(str(given["schema"])), "name": given.get("name")}
    return sent


def _tool(spec: JSONObject) -> Tool:
    return Tool(str(spec["name"]), str(spec.get("description", "")), whole(whole(spec["inputSchema"])["json"]))


def _choice(choice: JSONObject) -> ToolChoice:
    if "tool" in choice:
        return ToolNamed(str(whole(choice["tool"])["name"]))
    return "required" if "any" in choice else "auto"


def _output(sent: JSONObject) -> OutputSpec | None:
    given = whole(spelled_out(sent).get("outputConfig"))
    return OutputSpec(whole(given["schema"]), name=str(given["name"])) if given else None


def _messages(sent: JSONObject) -> Iterator[Message]:
    system = objects(sent.get("system"))
    if system:
        yield Message("system", tuple(Text(str(block["text"])) for block in system))
    for turn in objects(sent["messages"]):
        parts = tuple(map(_part, objects(turn["content"])))
        results = tuple(part for part in parts if isinstance(part, ToolResult))
        if turn["role"] == "assistant":
            yield Message("assistant", parts)
        elif results:
            yield Message("tool", results)
        else:
            yield Message("user", parts)


def _part(block: JSONObject) -> Part:
    if "image" in block:
        image = whole(block["image"])
        return Image(url=f"data:image/{image['format']};base64,{whole(image['source'])['bytes']}")
    if "toolUse" in block:
        call = whole(block["toolUse"])
        return ToolCall(str(call["toolUseId"]), str(call["name"]), whole(call["input"]))
    if "toolResult" in block:
        result = whole(block["toolResult"])
        (content,) = objects(result["content"])
        return ToolResult(str(result["toolUseId"]), content["text"])
    assert block.keys() == {"text"}, json.dumps(block)
    return Text(str(block["text"]))
