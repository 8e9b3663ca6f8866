"""Writes requests of Gemini's generateContent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, LLMValidationError
from loomwire.domain.requests import LLMRequest, OutputSpec
from loomwire.domain.tools import Tool, ToolChoice, ToolNamed
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.gemini.conversation import wire_contents
from loomwire.infrastructure.providers.gemini.quirks import GeminiQuirks
from loomwire.infrastructure.providers.gemini.schema import output_schema, tool_schema
from loomwire.infrastructure.providers.wire.request_body import Body, add_extra, encoded

RESERVED = frozenset({"contents", "systemInstruction", "model", "stream"})
_MERGED = ("generationConfig", "toolConfig")
_NAMES: Final = (
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("max_tokens", "maxOutputTokens"),
    ("seed", "seed"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
)
_MOST_STOPS: Final = 5
_MODES: Final = {"none": "NONE", "required": "ANY"}
_BUDGETS: Final = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
_BY_BUDGET = re.compile(r"gemini-2\b")


def encode_gemini(request: LLMRequest, config: LLMConfig, quirks: GeminiQuirks) -> bytes:
    """Return the body of a request; whether it streams stands in the path.

    `extra` is merged: its `generationConfig` and `toolConfig` into ours, field by field, and its `tools` behind ours.

    Raises:
        CapabilityError: Gemini cannot express what the request asks for.
        LLMValidationError: A value is no JSON, or `extra` sets one of `RESERVED`.
    """
    contents, system = wire_contents(request.messages, config, quirks)
    body: Body = {"contents": contents or [{"role": "user", "parts": system}]}
    if system and contents:
        body["systemInstruction"] = {"parts": system}
    if request.tools:
        body["tools"] = [{"functionDeclarations": [_declaration(tool, quirks) for tool in request.tools]}]
        if request.tool_choice != "auto":
            body["toolConfig"] = {"functionCallingConfig": _calling(request.tool_choice)}
    settings = _settings(request, config, quirks)
    if settings:
        body["generationConfig"] = settings
    _add(body, config.extra)
    _add(body, request.extra)
    return encoded(body)


def _declaration(tool: Tool, quirks: GeminiQuirks) -> Body:
    declared: Body = {"name": tool.name}
    if tool.description:
        declared["description"] = tool.description
    if tool.parameters:
        is_json = quirks.tool_schema == "parametersJsonSchema"
        declared[quirks.tool_schema] = tool.parameters if is_json else tool_schema(tool.parameters, strict=tool.strict)
    return declared


def _calling(choice: ToolChoice) -> Body:
    if isinstance(choice, ToolNamed):
        return {"mode": "ANY", "allowedFunctionNames": [choice.name]}
    return {"mode": _MODES[choice]}


def _settings(request: LLMRequest, config: LLMConfig, quirks: GeminiQuirks) -> Body:
    asked = request.parameters
    if asked is not config.parameters:
        asked = asked.over(config.parameters)
    settings: Body = {}
    for name, field in _NAMES:
        value: float | None = getattr(asked, name)
        if value is not None:
            settings[field] = value
    if asked.stop:
        if len(asked.stop) > _MOST_STOPS:
            raise CapabilityError(f"{config.target} takes at most {_MOST_STOPS} stop texts")
        settings["stopSequences"] = asked.stop
    if request.output is not None:
        settings |= _output(request.output, quirks)
    if asked.reasoning_effort is not None and quirks.thinking != "no":
        settings["thinkingConfig"] = _thinking(asked.reasoning_effort, config, quirks)
    return settings


def _output(output: OutputSpec, quirks: GeminiQuirks) -> Body:
    form: Body = {"responseMimeType": "application/json"}
    if output.schema is not None:
        field, schema = output_schema(output.schema, quirks.output_schema, strict=output.strict)
        if output.description and "description" not in schema and "$ref" not in schema:
            schema = {**schema, "description": output.description}
        form[field] = schema
    return form


def _thinking(effort: str, config: LLMConfig, quirks: GeminiQuirks) -> Body:
    form = quirks.thinking
    if form == "auto":
        form = "budget" if _BY_BUDGET.search(config.model) else "level"
    # Models with levels always think; the least is as near as one comes to none.
    told: Body = {"thinkingBudget": _BUDGETS[effort]} if form == "budget" else {"thinkingLevel": _level(effort)}
    if quirks.include_thoughts and effort != "none":
        told["includeThoughts"] = True
    return told


def _level(effort: str) -> str:
    return "minimal" if effort == "none" else effort


def _add(body: Body, extra: Mapping[str, JSON]) -> None:
    if not extra:
        return
    rest = dict(extra)
    for field in _MERGED:
        ours, theirs = body.get(field), rest.pop(field, None)
        if theirs is None:
            continue
        if not isinstance(theirs, Mapping):
            raise LLMValidationError(f"extra.{field} must be an object", hint="Correct it; it is merged into ours.")
        body[field] = {**(ours if isinstance(ours, dict) else {}), **theirs}
    if "tools" in rest:
        _add_tools(body, rest.pop("tools"))
    add_extra(body, (rest,), RESERVED)


def _add_tools(body: Body, theirs: JSON) -> None:
    if not isinstance(theirs, Sequence) or isinstance(theirs, str):
        raise LLMValidationError("extra.tools must be a list", hint="Correct it; it is put behind our tools.")
    ours = body.get("tools")
    body["tools"] = [*(ours if isinstance(ours, list) else ()), *theirs]
