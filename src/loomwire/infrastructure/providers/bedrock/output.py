"""Holds answers to JSON: by the service's own format where the model has it, else by a tool that must be called."""

from __future__ import annotations

from collections.abc import Mapping

from loomwire.domain.config import LLMConfig
from loomwire.domain.requests import LLMRequest, OutputSpec
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.bedrock.families import knows_format
from loomwire.infrastructure.providers.bedrock.quirks import BedrockQuirks
from loomwire.infrastructure.providers.schemas.claude import closed_schema, expressible
from loomwire.infrastructure.providers.wire.blocks.output_tool import (
    OUTPUT_TOOL,
    check_untaken,
    must_call,
    output_description,
)
from loomwire.infrastructure.providers.wire.request_body import ANY_OBJECT, Body, encoded


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
    if output is None or must_call(request):
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
    check_untaken(request.tools)
    spec: Body = {
        "name": OUTPUT_TOOL,
        "description": output_description(output),
        "inputSchema": {"json": output.schema or ANY_OBJECT},
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
