"""Holds answers to JSON: by the vendor's own format where the model has it, else by a tool that must be called."""

from __future__ import annotations

from loomwire.domain.config import LLMConfig
from loomwire.domain.requests import LLMRequest, OutputSpec
from loomwire.infrastructure.providers.anthropic.families import knows_format
from loomwire.infrastructure.providers.anthropic.quirks import AnthropicQuirks
from loomwire.infrastructure.providers.schemas.claude import closed_schema, expressible
from loomwire.infrastructure.providers.wire.blocks.output_tool import (
    OUTPUT_TOOL,
    check_untaken,
    must_call,
    output_description,
)
from loomwire.infrastructure.providers.wire.request_body import ANY_OBJECT, Body


def add_output(body: Body, request: LLMRequest, config: LLMConfig, quirks: AnthropicQuirks) -> None:
    """Ask for the shape of an answer.

    Args:
        body: With tools and their choice.
        request: With an output.
        config: The target.
        quirks: The vendor.

    Raises:
        CapabilityError: The vendor cannot hold an answer to this schema.
    """
    output = request.output
    if output is None or must_call(request):
        return  # a call is the answer then, and no text comes
    closed = _closed(output, config, quirks)
    if closed is None:
        _add_tool(body, request, output, quirks)
        return
    known = body.get("output_config")
    form = {"type": "json_schema", "schema": closed}
    body["output_config"] = {**known, "format": form} if isinstance(known, dict) else {"format": form}


def _closed(output: OutputSpec, config: LLMConfig, quirks: AnthropicQuirks) -> Body | None:
    """Return the schema for the format; None for what a tool is shown: any JSON object, and more than it can say."""
    if output.schema is None or quirks.json_form == "tool":
        return None
    if quirks.json_form == "format":
        return dict(closed_schema(output.schema))
    found = expressible(output.schema) if knows_format(config.model) else None
    return None if found is None else dict(found)


def _add_tool(body: Body, request: LLMRequest, output: OutputSpec, quirks: AnthropicQuirks) -> None:
    may_call = bool(request.tools) and request.tool_choice == "auto"
    forced = quirks.named_tool and not may_call
    tool: Body = {
        "name": OUTPUT_TOOL,
        "description": output_description(output),
        "input_schema": output.schema or ANY_OBJECT,
    }
    # Where no tool can be named, only what must be called may be there.
    others = _others(body, request) if forced or may_call else []
    body["tools"] = [*others, tool]
    # Two answers at once would be none.
    choice: Body = {"type": "tool", "name": OUTPUT_TOOL} if forced else {"type": "any"}
    body["tool_choice"] = choice if may_call else {**choice, "disable_parallel_tool_use": True}


def _others(body: Body, request: LLMRequest) -> list[Body]:
    check_untaken(request.tools)
    tools = body.get("tools")
    return tools if isinstance(tools, list) else []
