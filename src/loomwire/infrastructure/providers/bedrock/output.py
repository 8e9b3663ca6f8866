"""Holds answers to JSON: by the service's own format where the model has it, else by a tool that must be called."""

from __future__ import annotations

from collections.abc import Mapping

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError
from loomwire.domain.requests import LLMRequest, OutputSpec
from loomwire.domain.tools import ToolNamed
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.anthropic.schema import closed_schema, expressible
from loomwire.infrastructure.providers.bedrock.families import knows_format
from loomwire.infrastructure.providers.bedrock.quirks import BedrockQuirks
from loomwire.infrastructure.providers.wire.request_body import Body, encoded

OUTPUT_TOOL = "loomwire_output"
"""The tool whose input is the answer; the reader shows it as text."""

_ANY_OBJECT: Mapping[str, JSON] = {"type": "object", "additionalProperties": True}


def add_output(
    body: Body, tools: list[Body], request: LLMRequest, config: LLMConfig, quirks: BedrockQuirks
) -> Body | None:
    """Ask for the shape of an answer; returns the tool choice that this needs, or None.

    Args:
        body: Gets the format.
        tools: The request's tools as they are written; gets one more when the shape is asked for by a tool.
        request: The request.
        config: The target.
        quirks: How it differs.

    Raises:
        CapabilityError: The answer cannot be held to this schema.
    """
    output = request.output
    if output is None or request.tool_choice == "required" or isinstance(request.tool_choice, ToolNamed):
        return None  # a call is the answer then, and no text comes
    closed = _closed(output, config, quirks)
    if closed is None:
        return _add_tool(tools, request, output)
    schema: Body = {"name": output.name, "schema": encoded(closed).decode()}
    if output.description:
        schema["description"] = output.description
    body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}
    return None


def _add_tool(tools: list[Body], request: LLMRequest, output: OutputSpec) -> Body:
    if any(tool.name == OUTPUT_TOOL for tool in request.tools):
        raise CapabilityError(f"the tool name {OUTPUT_TOOL} is taken while an answer is held to JSON")
    shape = output.description or f"The answer, named {output.name}."
    spec: Body = {
        "name": OUTPUT_TOOL,
        "description": f"Gives the answer. Call it once, when the answer is known. {shape}",
        "inputSchema": {"json": output.schema or _ANY_OBJECT},
    }
    is_alone = not tools
    tools.append({"toolSpec": spec})
    return {"tool": {"name": OUTPUT_TOOL}} if is_alone else {"any": {}}


def _closed(output: OutputSpec, config: LLMConfig, quirks: BedrockQuirks) -> Mapping[str, JSON] | None:
    """Return the schema for the format; None for what a tool is shown: any JSON object, and more than it can say."""
    if output.schema is None or quirks.json_form == "tool":
        return None
    if quirks.json_form == "format":
        return closed_schema(output.schema)
    return expressible(output.schema) if knows_format(config.model) else None
