"""A server that streams without end costs what it sends and not many times as much: small pieces are kept together."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.openai_chat.chat import OpenAIChat
from loomwire.infrastructure.providers.wire.answer import Answer

PIECES = 10_000
CALL: JSON = {"index": 0, "id": "a", "function": {"name": "f"}}
FIRST: JSON = {"tool_calls": [CALL]}


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "xy"},
        {"reasoning_content": "xy"},
        {"refusal": "xy"},
        {"tool_calls": [{"index": 0, "function": {"arguments": "xy"}}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": "xy"}]},
    ],
    ids=["text", "thinking", "refusal", "arguments", "details"],
)
def test_many_small_pieces_take_little_more_than_their_text(delta: JSON) -> None:
    reader = OpenAIChat().reader(Answer(LLMConfig.custom("m", base_url="https://llm.invalid/v1")))
    reader.decode_event("", json.dumps({"choices": [{"index": 0, "delta": FIRST}]}).encode())
    event = json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode()
    tracemalloc.start()
    try:
        for _ in range(PIECES):
            reader.decode_event("", event)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 10 * len("xy") * PIECES
