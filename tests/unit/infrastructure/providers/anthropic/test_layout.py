"""The order of an answer's blocks survives the way through a message, unless somebody changed what was said."""

from __future__ import annotations

import json
from dataclasses import replace

from loomwire.domain.config import LLMConfig
from loomwire.domain.messages import Message, Reasoning, Text
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.anthropic.messages import AnthropicMessages
from loomwire.infrastructure.providers.wire.answer import Answer
from support.json_reading import objects

CONFIG = LLMConfig.anthropic("claude-opus-5", api_key="k")
BLOCKS: list[JSON] = [
    {"type": "thinking", "thinking": "First.", "signature": "s1"},
    {"type": "text", "text": "Looking. ", "citations": [{"type": "char_location", "cited_text": "x"}]},
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "search", "input": {"q": "x"}},
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
    {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"city": "Rome"}},
    {"type": "redacted_thinking", "data": "xx"},
    {"type": "tool_use", "id": "toolu_2", "name": "look", "input": {"city": "Oslo"}},
    {"type": "text", "text": "Done."},
]


def answered() -> Message:
    """Return an answer whose blocks stand in an order that no message can hold."""
    answer = Answer(CONFIG)
    body = {"type": "message", "content": BLOCKS, "stop_reason": "pause_turn"}
    AnthropicMessages().decode(json.dumps(body).encode(), answer)
    return answer.result().message


def sent(message: Message) -> JSON:
    """Return the content of a message on its way back."""
    body = json.loads(AnthropicMessages().encode(LLMRequest((Message.user("Hi"), message)), CONFIG, stream=False))
    content: JSON = body["messages"][1]["content"]
    return content


def test_an_answer_goes_back_as_it_came() -> None:
    assert sent(answered()) == BLOCKS


def test_an_answer_whose_text_was_changed_loses_its_order_and_no_block() -> None:
    message = answered()
    parts = tuple(Text("Something else.") if isinstance(part, Text) else part for part in message.parts)
    assert [block["type"] for block in objects(sent(replace(message, parts=parts)))] == [
        "thinking",
        "redacted_thinking",
        "server_tool_use",
        "web_search_tool_result",
        "text",
        "tool_use",
        "tool_use",
    ]


def test_an_order_that_makes_no_sense_is_not_followed() -> None:
    senseless: list[JSON] = [{"text": 3}, [3, {"text": True}], [{"thinking": 5}], [{"text": 3}, {"call": 0}]]
    for entries in senseless:
        part = Reasoning(wire={"type": "loomwire_layout", "entries": entries}, origin="anthropic")
        assert sent(Message("assistant", (part, Text("Hey!")))) == "Hey!"
    foreign = Reasoning(wire={"type": "loomwire_layout", "entries": [{"text": 4}]}, origin="gemini")
    assert sent(Message("assistant", (foreign, Text("Hey!")))) == "Hey!"
