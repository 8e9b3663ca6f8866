"""Turns the recorded Gemini requests of other programs back into ours: what a caller of loomwire would have asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from urllib.parse import unquote, urlsplit

from loomwire.domain.config import LLMConfig
from loomwire.domain.messages import Image, Message, Part, Text, ToolResult
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.tools import Tool, ToolChoice, ToolNamed
from loomwire.domain.values import JSON, NO_JSON, JSONObject, ToolCall
from loomwire.infrastructure.providers.gemini.conversation import MADE_UP
from support.json_reading import count, number, object_of, objects_if_listed
from support.wire_playback import Recording

_PLACE = re.compile(
    r"(?P<base>.*?)/(?:publishers/google/)?models/(?P<model>[^:]+):(?P<stream>stream)?[gG]enerateContent"
)
_OURS = frozenset({"contents", "systemInstruction", "model"})
_SETTINGS = {
    "temperature": "temperature",
    "topP": "top_p",
    "maxOutputTokens": "max_tokens",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
}
_OUTPUT = frozenset({"responseMimeType", "responseSchema", "responseJsonSchema"})
_SCHEMAS = ("parametersJsonSchema", "parameters_json_schema", "parameters")
_TYPES = ("", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT")


def rebuilt(recording: Recording) -> tuple[LLMRequest, LLMConfig, bool]:
    """Return what a caller would ask to have a recorded request sent, of whom, and whether as a stream.

    Fields that are no part of `LLMRequest` become its `extra`; where the recorded program wrote schemas in OpenAPI's
    subset, quirks say so.
    """
    body = object_of(recording.request)
    parts = urlsplit(recording.url)
    found = _PLACE.fullmatch(parts.path)
    assert found is not None
    config = replace(
        recording.target(f"{parts.scheme}://{parts.netloc}{found['base']}"),
        model=unquote(found["model"]),
        options={"quirks": _quirks(body)},
    )
    settings = object_of(body.get("generationConfig") or NO_JSON)
    calling = object_of(object_of(body.get("toolConfig") or NO_JSON).get("functionCallingConfig", NO_JSON))
    system = [
        Text(str(part["text"])) for part in _list(object_of(body.get("systemInstruction") or NO_JSON).get("parts"))
    ]
    said = [_message(each, number) for number, each in enumerate(_list(body["contents"]))]
    tools = _list(body.get("tools"))
    declared = [_tool(each) for tool in tools for each in _list(tool.get("functionDeclarations"))]
    extra = {
        key: value for key, value in body.items() if key not in _OURS | {"generationConfig", "toolConfig", "tools"}
    }
    others = [tool for tool in tools if "functionDeclarations" not in tool]
    rest = {key: value for key, value in settings.items() if key not in (*_SETTINGS, *_OUTPUT, "stopSequences")}
    request = LLMRequest(
        (*([Message("system", tuple(system))] if any(part.text for part in system) else []), *said),
        tools=tuple(declared),
        tool_choice=_choice(calling),
        output=_output(settings),
        parameters=_parameters(settings),
        extra={**extra, **({"tools": others} if others else {}), **({"generationConfig": rest} if rest else {})},
    )
    return request, config, found["stream"] is not None


def canonical(body: JSON) -> JSON:
    """Return a request in which what says the same is written in one way: JSON's names, names of enums, null left out.

    Protocol buffers take fields in both spellings and enums as numbers. A schema's fields are named by the caller.
    """
    made = _spelled(body)
    assert isinstance(made, dict)
    return made


def _spelled(value: JSON, *, is_ours: bool = True) -> JSON:
    if isinstance(value, Mapping):
        return {
            _camel(key) if is_ours else key: _numbered(
                key, _spelled(each, is_ours=is_ours and key not in ("args", "response", "properties"))
            )
            for key, each in value.items()
            if each is not None or not is_ours
        }
    if isinstance(value, str) or not isinstance(value, Sequence):
        return value
    return [_spelled(each, is_ours=is_ours) for each in value]


def _numbered(key: str, value: JSON) -> JSON:
    if key == "properties" and isinstance(value, Mapping):
        return {name: _spelled(each) for name, each in value.items()}
    return _TYPES[value] if key == "type" and isinstance(value, int) else value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _quirks(body: JSONObject) -> JSONObject:
    declared = [each for tool in _list(body.get("tools")) for each in _list(tool.get("functionDeclarations"))]
    quirks: dict[str, JSON] = {}
    if any("parameters" in each for each in declared):
        quirks["tool_schema"] = "parameters"
    if "responseSchema" in object_of(body.get("generationConfig") or NO_JSON):
        quirks["output_schema"] = "responseSchema"
    return quirks


def _message(wire: JSONObject, place: int) -> Message:
    parts = _list(wire["parts"])
    if any("functionResponse" in part for part in parts):
        return Message.tool(
            *(_result(object_of(part["functionResponse"]), place - 1, number) for number, part in enumerate(parts))
        )
    if wire["role"] == "model":
        return Message("assistant", tuple(_said(parts, place)))
    return Message("user", tuple(_shown(parts)))


def _said(parts: Sequence[JSONObject], place: int) -> Iterator[Part]:
    for index, part in enumerate(parts):
        call = part.get("functionCall")
        if isinstance(call, Mapping):
            signature = part.get("thoughtSignature")
            id_ = str(call.get("id") or f"{MADE_UP}{place}-{index}")
            yield ToolCall(id_, str(call["name"]), object_of(call["args"]), "", str(signature) if signature else None)
        else:
            yield Text(str(part["text"]))


def _result(wire: JSONObject, place: int, number: int) -> ToolResult:
    return ToolResult(str(wire.get("id") or f"{MADE_UP}{place}-{number}"), wire["response"])


def _shown(parts: Sequence[JSONObject]) -> Iterator[Text | Image]:
    for part in parts:
        inline = part.get("inlineData")
        if isinstance(inline, Mapping):
            if str(inline["mimeType"]).startswith("image/"):
                yield Image(url=f"data:{inline['mimeType']};base64,{inline['data']}")
        else:
            yield Text(str(part["text"]))


def _tool(wire: JSONObject) -> Tool:
    schema = next((_plain(wire[key]) for key in _SCHEMAS if key in wire), NO_JSON)
    return Tool(str(wire["name"]), str(wire.get("description") or ""), object_of(schema))


def _plain(schema: JSON) -> JSON:
    """Return a schema in JSON Schema's spelling."""
    if isinstance(schema, Mapping):
        return {
            "propertyOrdering" if key == "property_ordering" else key: _word(each) if key == "type" else _plain(each)
            for key, each in schema.items()
        }
    if isinstance(schema, str) or not isinstance(schema, Sequence):
        return schema
    return [_plain(each) for each in schema]


def _word(kind: JSON) -> JSON:
    return (_TYPES[kind] if isinstance(kind, int) else str(kind)).lower()


def _choice(calling: JSONObject) -> ToolChoice:
    names = calling.get("allowedFunctionNames")
    match calling.get("mode"):
        case "ANY" if isinstance(names, Sequence) and len(names) == 1:
            return ToolNamed(str(names[0]))
        case "ANY":
            return "required"
        case "NONE":
            return "none"
        case _:
            return "auto"


def _output(settings: JSONObject) -> OutputSpec | None:
    if settings.get("responseMimeType") != "application/json":
        return None
    schema = settings.get("responseSchema", settings.get("responseJsonSchema"))
    return OutputSpec(object_of(_plain(schema)) if schema is not None else None)


def _parameters(settings: JSONObject) -> Parameters:
    given = {_SETTINGS[key]: value for key, value in settings.items() if key in _SETTINGS}
    stop = settings.get("stopSequences")
    return Parameters(
        temperature=number(given.get("temperature")),
        top_p=number(given.get("top_p")),
        max_tokens=count(given.get("max_tokens")),
        stop=tuple(map(str, stop)) if isinstance(stop, Sequence) else (),
        seed=count(given.get("seed")),
        presence_penalty=number(given.get("presence_penalty")),
        frequency_penalty=number(given.get("frequency_penalty")),
    )


def _list(value: JSON) -> Sequence[JSONObject]:
    return [value] if isinstance(value, Mapping) else objects_if_listed(value)
