"""A conversation that began in one dialect goes on in every other: nothing is refused, and no proof goes astray."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Final

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.messages import Image, Message, ToolResult
from loomwire.domain.requests import LLMRequest
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON, Secret, ToolCall
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.providers.rows.kinds import Also
from loomwire.infrastructure.providers.speech import dialect_of, speech
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import FakeProvider, Reply
from support.dialects import target_of

SIGNED: Final = "c2lnbmF0dXJlLWNhbmFyeQ=="
LONG: Final = f"a_tool_with_a_long_name_{'x' * 30}"
SAID: Final = Reply(
    "Let me look.",
    reasoning="Thinking aloud.",
    tool_calls=(ToolCall(f"{LONG}_1", LONG, {"city": "Łódź"}), ToolCall("call_b", "time", {})),
    signature=SIGNED,
)
TOOLS: Final = (Tool(LONG), Tool("time"))
ASKED: Final = LLMRequest.of("Look", Image(data=b"\x89PNG"), tools=TOOLS, system="Be brief.")
TARGETS: Final = [
    (row.name, dialect)
    for row in PROVIDERS.values()
    for dialect in (row.dialect, *(also.dialect for also in row.also))
    if dialect is not None and row.client is None
]
BLIND: Final = frozenset({("deepseek", "openai_chat")})
"""Targets that take no pictures."""


def told_back(told: Message, results: Message, *, pictures: bool) -> LLMRequest:
    begun = ASKED.messages if pictures else (Message.user("Look"),)
    return LLMRequest((*begun, told, results, Message.user(""), Message.user("And?")), tools=TOOLS)


def strings(value: JSON) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)


@pytest.mark.parametrize("source", DIALECTS)
async def test_a_history_of_one_dialect_is_written_in_all_others(source: str) -> None:
    pool = ConnectionPool()
    async with FakeProvider(SAID) as provider:
        client = ClientFactory(pool, SystemClock()).create(target_of(source, provider.base_url))
        answer = await client.generate(ASKED)
    await pool.aclose()
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [(LONG, {"city": "Łódź"}), ("time", {})]
    told = Message.assistant(answer.text, tool_calls=answer.tool_calls, reasoning=answer.reasoning)
    one, two = (call.id for call in answer.tool_calls)
    results = Message.tool(ToolResult(one, {"t": 21}, LONG), ToolResult(two, "no clock", is_error=True))
    for name, target in TARGETS:
        config = LLMConfig(
            type=name, model="m", dialect=target, base_url="https://llm.example.com/v1", keys=(Secret("k"),)
        )
        dialect = dialect_of(speech(config, PROVIDERS[name], DIALECTS), DIALECTS)
        asked = told_back(told, results, pictures=(name, target) not in BLIND)
        body = json.loads(dialect.encode(asked, config, stream=False))
        said = list(strings(body))
        assert "Let me look." in said, (name, target)
        if target != source:
            assert not any(SIGNED in each for each in said), (name, target)
        _check_ids(body, name, target)


def _check_ids(body: JSON, name: str, target: str) -> None:
    found = list(_ids(body))
    # Each stands with its call and with its result.
    assert sorted(found) == sorted([*set(found)] * 2), (name, target)
    limited = name in ("openai", "azure_openai")
    most = (40 if target == "openai_chat" else 64) if limited else 1024
    assert all(0 < len(id) <= most for id in found), (name, target)


def _ids(value: JSON) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _ids(each)
    elif isinstance(value, dict):
        is_call = value.get("type") == "tool_use" or "function" in value
        for key, each in value.items():
            if key in ("tool_call_id", "call_id", "tool_use_id", "toolUseId") or (key == "id" and is_call):
                yield str(each)
            else:
                yield from _ids(each)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_long_history_costs_what_it_is_long(name: str) -> None:
    dialect, config = dialect_of(Also(dialect=name), DIALECTS), target_of(name, "http://127.0.0.1:1/v1")

    def seconds(turns: int) -> float:
        messages = tuple(message for turn in range(turns) for message in _turn(turn))
        started = time.process_time()
        dialect.encode(LLMRequest(messages), config, stream=False)
        return time.process_time() - started

    seconds(10)
    # A hundred times as long is not ten thousand times as dear.
    assert min(seconds(3000) for _ in range(2)) < 1000 * max(min(seconds(30) for _ in range(3)), 0.001)


def _turn(turn: int) -> tuple[Message, ...]:
    call = ToolCall(f"call_{turn}", "look", {"turn": turn})
    return Message.user("Hi"), Message.assistant(tool_calls=[call]), Message.tool(ToolResult(call.id, turn))
