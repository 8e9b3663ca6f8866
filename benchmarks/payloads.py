"""What every client asks and what it must get, so that all of them do the same work."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bool | None"

PROMPT = "Name the capital of Portugal and one thing to see there."
ANSWER = "Lisbon. Take the number 28 tram up to the castle before breakfast, when it is still empty."
INVOICE = {
    "customer": "Ada",
    "total": 18.2,
    "items": [{"name": "notebook", "price": 17.0}, {"name": "pen", "price": 1.2}],
}
# Two, because LiteLLM breaks off a stream that repeats one word a hundred times.
WORDS = (" word", " more")

# Streams by route: how many chunks of text come, and the seconds between two of them (0: all at once).
STREAMS: Mapping[str, tuple[int, float]] = {
    "plain": (20, 0.0),
    "short": (20, 0.0),
    "long": (220, 0.0),
    "slow-short": (10, 0.001),
    "slow-long": (110, 0.001),
    "first": (20, 0.004),
}
ROUTES = (*STREAMS, "invoice")


def base_url(port: int, route: str) -> str:
    """Return the base URL of a route of the benchmark's server."""
    return f"http://127.0.0.1:{port}/{route}/v1"


def body(*, stream: bool) -> dict[str, Json]:
    """Return the wire body of the small question."""
    asked: dict[str, Json] = {"model": "m", "messages": [{"role": "user", "content": PROMPT}]}
    return asked | {"stream": True} if stream else asked


def long_body() -> dict[str, Json]:
    """Return the wire body of a conversation of 40 messages with 20 tools."""
    return {
        "model": "m",
        "messages": [_message(number) for number in range(40)],
        "tools": [_tool(n) for n in range(20)],
    }


def _message(number: int) -> Json:
    said = f"Turn {number}: " + "the train from Lisbon to Porto takes three hours and costs thirty euros. " * 3
    if number == 0:
        return {"role": "system", "content": said}
    match number % 4:
        case 1:
            return {"role": "user", "content": said}
        case 2:
            arguments = json.dumps({"city": "Porto", "day": number, "note": said})
            call: Json = {
                "id": f"call_{number}",
                "type": "function",
                "function": {"name": "tool_3", "arguments": arguments},
            }
            return {"role": "assistant", "content": None, "tool_calls": [call]}
        case 3:
            return {"role": "tool", "tool_call_id": f"call_{number - 1}", "content": said}
        case _:
            return {"role": "assistant", "content": said}


def _tool(number: int) -> Json:
    properties: dict[str, Json] = {
        "city": {"type": "string", "description": "The city, in English"},
        "day": {"type": "integer", "minimum": 1, "maximum": 365},
        "note": {"type": "string", "enum": ["morning", "noon", "evening"]},
    }
    schema: Json = {"type": "object", "properties": properties, "required": ["city", "day"]}
    function: Json = {"name": f"tool_{number}", "description": f"Looks up timetable {number}.", "parameters": schema}
    return {"type": "function", "function": function}
