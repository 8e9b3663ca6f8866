"""The tool that must be called with the answer, where a model's answers cannot be held to JSON otherwise."""

from __future__ import annotations

from collections.abc import Iterable

from loomwire.domain.errors import CapabilityError
from loomwire.domain.requests import LLMRequest, OutputSpec
from loomwire.domain.tools import Tool, ToolNamed

OUTPUT_TOOL = "loomwire_output"
"""The tool whose input is the answer; the readers show it as text."""


def must_call(request: LLMRequest) -> bool:
    """Tell whether a call is the answer to a request, so that no text comes whose shape could be asked for."""
    return request.tool_choice == "required" or isinstance(request.tool_choice, ToolNamed)


def output_description(output: OutputSpec) -> str:
    """Return what the model is told of the tool."""
    shape = output.description or f"The answer, named {output.name}."
    return f"Gives the answer. Call it once, when the answer is known. {shape}"


def check_untaken(tools: Iterable[Tool]) -> None:
    """Refuse a request whose own tools have one of that name.

    Raises:
        CapabilityError: One has.
    """
    if any(tool.name == OUTPUT_TOOL for tool in tools):
        raise CapabilityError(f"the tool name {OUTPUT_TOOL} is taken while an answer is held to JSON")
