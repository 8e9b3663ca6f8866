"""The tool that holds an answer is told apart from the caller's tools."""

from __future__ import annotations

import pytest

from loomwire.domain.errors import CapabilityError
from loomwire.domain.messages import Message
from loomwire.domain.requests import LLMRequest, OutputSpec
from loomwire.domain.tools import Tool, ToolChoice, ToolNamed
from loomwire.infrastructure.providers.wire.blocks.output_tool import (
    OUTPUT_TOOL,
    check_untaken,
    must_call,
    output_description,
)

LOOK = Tool("look")


@pytest.mark.parametrize(
    ("choice", "must"), [("auto", False), ("none", False), ("required", True), (ToolNamed("look"), True)]
)
def test_a_request_that_must_call_gets_no_text(choice: ToolChoice, *, must: bool) -> None:
    assert must_call(LLMRequest((Message.user("Hi"),), tools=(LOOK,), tool_choice=choice)) is must


def test_the_tool_is_described_by_the_output() -> None:
    assert output_description(OutputSpec(None, name="bill")).endswith("The answer, named bill.")
    assert output_description(OutputSpec(None, name="bill", description="A bill.")).endswith("known. A bill.")


def test_a_tool_of_that_name_is_refused() -> None:
    check_untaken([LOOK])
    with pytest.raises(CapabilityError, match=OUTPUT_TOOL):
        check_untaken([LOOK, Tool(OUTPUT_TOOL)])
