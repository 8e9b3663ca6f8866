"""A server that streams without end costs what it sends and not many times as much."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.infrastructure.providers.openai_responses.responses import OpenAIResponses
from loomwire.infrastructure.providers.wire.answer import Answer

PIECES = 10_000
KINDS = (
    "output_text",
    "reasoning_text",
    "reasoning_summary_text",
    "refusal",
    "function_call_arguments",
    "custom_tool_call_input",
    "mcp_call_arguments",
)


@pytest.mark.parametrize("kind", KINDS)
def test_many_small_pieces_take_little_more_than_their_text(kind: str) -> None:
    reader = OpenAIResponses().reader(Answer(LLMConfig.custom("m", base_url="https://llm.invalid/v1")))
    call = {"type": kind.rpartition("_")[0].removesuffix("_call") + "_call", "name": "f", "id": "a"}
    begin = {"type": "response.output_item.added", "item": call, "output_index": 0}
    reader.decode_event("", json.dumps(begin).encode() if "call" in kind else b"")
    event = json.dumps({"type": f"response.{kind}.delta", "delta": "xy", "item_id": "a", "output_index": 0}).encode()
    tracemalloc.start()
    try:
        for _ in range(PIECES):
            reader.decode_event("", event)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 10 * len("xy") * PIECES
