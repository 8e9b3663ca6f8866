"""From a request that another program sent to Ollama's chat to the `LLMRequest` that asks the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from loomwire.domain.config import LLMConfig
from loomwire.domain.messages import Message, Role, Text
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters, ReasoningEffort
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON, JSONObject
from support.json_reading import object_of, objects_of
from support.wire_playback import Recording

ROLES: Mapping[JSON, Role] = {"system": "system", "user": "user", "assistant": "assistant"}
THINK: Mapping[JSON, ReasoningEffort] = {False: "none"}
OPTIONS = frozenset({"temperature", "seed", "num_predict"})
OURS = frozenset({"model", "messages", "stream", "tools", "format", "think", "options"})


def rebuilt(recording: Recording) -> tuple[LLMRequest, LLMConfig]:
    """Return the request and the target; fields that loomwire has no words for go into `extra`."""
    sent = object_of(recording.request)
    options = object_of(sent.get("options", {}))
    assert options.keys() <= OPTIONS
    request = LLMRequest(
        tuple(Message(ROLES[each["role"]], (Text(str(each["content"])),)) for each in objects_of(sent["messages"])),
        tuple(tool_of(each) for each in objects_of(sent.get("tools", ()))),
        output=OutputSpec(object_of(sent["format"])) if "format" in sent else None,
        parameters=Parameters(
            temperature=number_of(options, "temperature"),
            seed=number_of(options, "seed"),
            max_tokens=number_of(options, "num_predict"),
            reasoning_effort=THINK[sent["think"]] if "think" in sent else None,
        ),
        extra={name: value for name, value in sent.items() if name not in OURS},
    )
    return request, replace(recording.target(), model=str(sent["model"]))


def tool_of(wire: JSONObject) -> Tool:
    """Return one tool."""
    function = object_of(wire["function"])
    return Tool(str(function["name"]), str(function["description"]), object_of(function["parameters"]))


def number_of(options: JSONObject, name: str) -> int | None:
    """Return an option that is a whole number, or None."""
    value = options.get(name)
    assert value is None or isinstance(value, int)
    return value
