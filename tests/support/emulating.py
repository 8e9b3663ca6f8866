"""What the tests of emulated tools ask and say."""

from __future__ import annotations

import json
from collections.abc import Sequence

from loomwire.application.emulation.reader import Read, Reader
from loomwire.domain.requests import LLMRequest
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON

WEATHER = Tool(
    "weather",
    "Tells the weather.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
CLOCK = Tool("clock", "Tells the time.")
NAMES = frozenset({"weather", "clock"})
ASKED = LLMRequest.of("How is the weather in Rome?", tools=[WEATHER, CLOCK])


def call(city: str = "Rome", name: str = "weather") -> str:
    """Return a call as a model writes it."""
    return json.dumps({"name": name, "arguments": {"city": city}}, ensure_ascii=False)


def marked(*calls: str) -> str:
    """Return calls in the form that the prompt asks for."""
    return "\n".join(f"<tool_call>\n{each}\n</tool_call>" for each in calls)


def enveloped(*calls: JSON, answer: JSON = "") -> str:
    """Return the object that a model held to JSON answers with."""
    return json.dumps({"tool_calls": list(calls), "answer": answer})


def nobody(_: str) -> bool:
    """Quote nothing."""
    return False


def read(reader: Reader, pieces: Sequence[str], *, cut: bool = False) -> tuple[str, Read]:
    """Return the visible text of an answer, and what its end says."""
    text = "".join(map(reader.feed, pieces))
    ended = reader.end(cut=cut)
    return text + ended.text, ended
